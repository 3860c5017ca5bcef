// SPDX-License-Identifier: GPL-3.0-or-later
// Runs a fuzz target over its corpus without libFuzzer: each file as it is, every short prefix of it, and
// with single bits flipped. An empty or missing corpus is a failure, since it would test nothing.
#include "tests/fuzz/fuzz_target.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

namespace {

void feed(const std::string& text)
{
    // A copy of the exact size, so that the address sanitizer sees a read past the end.
    const std::vector<std::uint8_t> bytes(text.begin(), text.end());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

void feedVariants(const std::string& text)
{
    constexpr std::size_t kVariants = 400; // of each kind, spread over the file
    feed(text);
    const std::size_t step = std::max<std::size_t>(1, text.size() / kVariants);
    for (std::size_t at = 0; at < text.size(); at += step) {
        feed(text.substr(0, at));
        std::string flipped = text;
        flipped[at] = static_cast<char>(static_cast<unsigned char>(flipped[at]) ^ (1U << (at % 8)));
        feed(flipped);
        feed(text.substr(0, at) + text.substr(at + 1));
    }
}

} // namespace

int main(int argc, char** argv)
{
    std::size_t files = 0;
    for (int i = 1; i < argc; ++i) {
        std::error_code error;
        std::vector<std::filesystem::path> paths;
        for (std::filesystem::directory_iterator it(argv[i], error), end; !error && it != end;
             it.increment(error))
            paths.push_back(it->path());
        if (error) {
            std::fprintf(stderr, "corpus %s: %s\n", argv[i], error.message().c_str());
            return 1;
        }
        std::sort(paths.begin(), paths.end());
        for (const std::filesystem::path& path : paths) {
            std::ifstream in(path, std::ios::binary);
            std::ostringstream content;
            content << in.rdbuf();
            feedVariants(content.str());
            ++files;
        }
    }
    std::printf("%zu corpus files replayed\n", files);
    return files == 0 ? 1 : 0;
}
