// SPDX-License-Identifier: GPL-3.0-or-later
// Question: what does reading a NAR cost beside hashing it, as every upload and download does both? Sizes
// that matter: one large file, and 100,000 of 1 KiB, where the structure is a third of the archive. Budget:
// parsing and hashing together at 90 % of the speed of bare SHA-256 for large files, 80 % for small ones; the
// scan for references, with 10,000 candidates, above 1 GB/s on text and on random bytes.
#include "shared/nix/hash.h"
#include "shared/nix/nar.h"
#include "shared/nix/references.h"

#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstdlib>
#include <string>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

constexpr std::size_t kPiece = 256U << 10U; // as it comes off a socket or out of a decoder

char noiseAt(std::size_t i)
{
    const std::uint64_t word = (i + 1) * 0x9E3779B97F4A7C15U;
    return static_cast<char>((word >> 56U) ^ (word >> 31U));
}

std::string noise(std::size_t size)
{
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = noiseAt(i);
    return bytes;
}

std::string text(std::size_t size)
{
    std::string bytes;
    for (std::size_t i = 0; bytes.size() < size; ++i)
        bytes += fmt::format("#include <module_{}/part.h> /* quick brown foxes, {:x} */\n", i, i * 7919);
    return bytes;
}

std::string archiveOf(std::size_t files, std::size_t size)
{
    std::string out;
    NarWriter writer([&out](std::string_view bytes) -> Result<void> {
        out.append(bytes);
        return {};
    });
    bool isWritten = writer.beginDirectory("").has_value();
    const std::string content = noise(size);
    for (std::size_t i = 0; i < files && isWritten; ++i)
        isWritten = writer.beginFile(fmt::format("{:08}", i), size, false) && writer.content(content);
    if (!isWritten || !writer.endDirectory() || !writer.finish())
        std::abort();
    return out;
}

const std::string& archive(std::int64_t kind)
{
    static const std::string kLarge = archiveOf(1, 128U << 20U);
    static const std::string kSmall = archiveOf(100'000, 1024);
    return kind == 0 ? kLarge : kSmall;
}

template <class Take> void inPieces(std::string_view bytes, const Take& take)
{
    for (std::size_t at = 0; at < bytes.size(); at += kPiece)
        take(bytes.substr(at, kPiece));
}

void countBytes(benchmark::State& state, std::size_t size)
{
    state.SetBytesProcessed(static_cast<std::int64_t>(size) * state.iterations());
}

void hashOnly(benchmark::State& state)
{
    const std::string& bytes = archive(state.range(0));
    for (auto _ : state) {
        Hasher hasher;
        inPieces(bytes, [&](std::string_view piece) { hasher.update(piece); });
        benchmark::DoNotOptimize(std::move(hasher).finish());
    }
    countBytes(state, bytes.size());
}

void parse(benchmark::State& state, bool withHash)
{
    const std::string& bytes = archive(state.range(0));
    for (auto _ : state) {
        NarVisitor nobody;
        NarParser parser(nobody);
        Hasher hasher;
        inPieces(bytes, [&](std::string_view piece) {
            if (!parser.push(piece))
                std::abort();
            if (withHash)
                hasher.update(piece);
        });
        if (!parser.finish())
            std::abort();
        benchmark::DoNotOptimize(std::move(hasher).finish());
    }
    countBytes(state, bytes.size());
}

void parseOnly(benchmark::State& state)
{
    parse(state, false);
}
void parseAndHash(benchmark::State& state)
{
    parse(state, true);
}

void scanReferences(benchmark::State& state)
{
    constexpr std::string_view kAlphabet = "0123456789abcdfghijklmnpqrsvwxyz";
    const std::string bytes = state.range(0) == 0 ? noise(64U << 20U) : text(64U << 20U);
    std::set<std::string> digests;
    for (std::size_t i = 0; i < 10'000; ++i) {
        std::string digest;
        for (std::size_t k = 0; k < kStoreDigestLength; ++k)
            digest.push_back(kAlphabet[static_cast<unsigned char>(noiseAt(i * 32 + k)) % 32]);
        digests.insert(digest);
    }
    for (auto _ : state) {
        ReferenceScanner scanner(digests);
        inPieces(bytes, [&](std::string_view piece) { scanner.push(piece); });
        benchmark::DoNotOptimize(scanner.found().size());
    }
    countBytes(state, bytes.size());
}

void write(benchmark::State& state)
{
    for (auto _ : state)
        benchmark::DoNotOptimize(archiveOf(10'000, 1024).size());
    countBytes(state, archiveOf(10'000, 1024).size());
}

BENCHMARK(hashOnly)->ArgName("small")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);
BENCHMARK(parseAndHash)->ArgName("small")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);
BENCHMARK(parseOnly)->ArgName("small")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);
BENCHMARK(scanReferences)->ArgName("text")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);
BENCHMARK(write)->Unit(benchmark::kMillisecond);

} // namespace
} // namespace penstock::nix
