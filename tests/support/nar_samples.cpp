// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/nar_samples.h"

#include "shared/base/check.h"
#include "shared/nix/nar.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace penstock::test {
namespace {

nix::NarInfo infoOf(nix::StorePath path, const nix::Hash& hash, std::uint64_t size,
                    nix::StorePathSet references)
{
    return {std::move(path),
            {},
            {},
            std::nullopt,
            std::nullopt,
            hash,
            size,
            std::move(references),
            {},
            {},
            {},
            {}};
}

nix::StorePath madeUpPath(std::string_view name)
{
    const std::string digest = nix::hashOf(name).base32().substr(0, nix::kStoreDigestLength);
    return nix::StorePath::fromBaseName(fmt::format("{}-{}", digest, name)).value();
}

} // namespace

std::string narOfFile(std::string_view content)
{
    std::string nar;
    nix::NarWriter writer(sinkInto(nar));
    PENSTOCK_CHECK(writer.beginFile("", content.size(), false).has_value());
    PENSTOCK_CHECK(writer.content(content).has_value());
    PENSTOCK_CHECK(writer.finish().has_value());
    return nar;
}

NarSample sampleOf(std::string_view name, std::string_view content, nix::StorePathSet references)
{
    std::string nar = narOfFile(content);
    return {infoOf(madeUpPath(name), nix::hashOf(nar), nar.size(), std::move(references)), nar};
}

NarSample addressedSample(const nix::StoreDir& dir, std::string_view name, std::string_view content,
                          const nix::StorePathSet& references)
{
    std::string nar = narOfFile(content);
    const nix::Hash hash = nix::hashOf(nar);
    auto path = nix::computeSourcePath(dir, name, hash, {references, false}).value();
    NarSample sample{infoOf(std::move(path), hash, nar.size(), references), std::move(nar)};
    sample.info.contentAddress = "fixed:r:" + hash.prefixedBase32();
    return sample;
}

ByteSource sourceOf(std::string bytes)
{
    const auto left = std::make_shared<std::pair<std::string, std::size_t>>(std::move(bytes), 0);
    return [left](std::span<char> into) -> Result<std::size_t> {
        const std::size_t size = std::min(into.size(), left->first.size() - left->second);
        std::copy_n(left->first.begin() + static_cast<std::ptrdiff_t>(left->second), size, into.begin());
        left->second += size;
        return size;
    };
}

ByteSink sinkInto(std::string& bytes)
{
    return [&bytes](std::string_view piece) -> Result<void> {
        bytes.append(piece);
        return {};
    };
}

ByteSource bigNar(std::uint64_t contentSize)
{
    struct State {
        std::string pending;
        std::unique_ptr<nix::NarWriter> writer;
        std::uint64_t left = 0;
        std::uint64_t number = 0;
        bool isFinished = false;
    };
    const auto state = std::make_shared<State>();
    state->left = contentSize;
    state->writer = std::make_unique<nix::NarWriter>(sinkInto(state->pending));
    PENSTOCK_CHECK(state->writer->beginFile("", contentSize, false).has_value());
    return [state](std::span<char> into) -> Result<std::size_t> {
        while (state->pending.empty() && !state->isFinished) {
            if (state->left == 0) {
                PENSTOCK_CHECK(state->writer->finish().has_value());
                state->isFinished = true;
                break;
            }
            std::string piece(std::min<std::uint64_t>(state->left, 65536), '\0');
            for (std::size_t i = 0; i < piece.size(); i += 64) // a counter: no two pieces are alike
                piece[i] = static_cast<char>((state->number += 0x9E3779B97F4A7C15U) >> 56U);
            state->left -= piece.size();
            PENSTOCK_CHECK(state->writer->content(piece).has_value());
        }
        const std::size_t size = std::min(into.size(), state->pending.size());
        std::copy_n(state->pending.begin(), size, into.begin());
        state->pending.erase(0, size);
        return size;
    };
}

nix::NarInfo bigInfo(std::string_view name, std::uint64_t contentSize)
{
    const ByteSource nar = bigNar(contentSize);
    nix::Hasher hasher;
    std::vector<char> piece(65536);
    while (const std::size_t size = nar(piece).value())
        hasher.update(std::string_view(piece.data(), size));
    const std::uint64_t narSize = hasher.byteCount();
    return infoOf(madeUpPath(name), std::move(hasher).finish(), narSize, {});
}

} // namespace penstock::test
