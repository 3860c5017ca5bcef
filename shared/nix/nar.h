// SPDX-License-Identifier: GPL-3.0-or-later
// NAR, the archive of a store path (nix-formats 3): a push parser that keeps no more than one name or link
// target in memory, and a writer. Pure; an object belongs to one stream. Errors: Corrupt for what is no NAR
// (said with the offset), Exhausted above a limit. The parser is strict: what it accepts, Nix writes the same
// way.
#pragma once

#include "shared/base/result.h"
#include "shared/base/stream.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace penstock::nix {

inline constexpr unsigned kMaxNarNesting = 64; // levels, of which the root is the first
inline constexpr std::size_t kMaxNarName = 255;
inline constexpr std::size_t kMaxNarTarget = 4095;

struct NarLimits {
    std::uint64_t maxBytes = UINT64_MAX;   // of the whole archive; checked before content is taken
    std::uint64_t maxEntries = 50'000'000; // files, links and directories
};

struct NarFile {
    bool isExecutable;
    std::uint64_t size;
    std::uint64_t offset; // of the first content byte in the archive
};

// What a parser finds, in the archive's order. Paths are relative to the root, which is ""; "bin/ls" is below
// it. Views are valid during the call only. An error stops the parser and is its error.
struct NarVisitor {
    virtual ~NarVisitor() = default;
    virtual Result<void> onDirectory(std::string_view /*path*/) { return {}; } // its entries follow
    virtual Result<void> onDirectoryEnd(std::string_view /*path*/) { return {}; }
    virtual Result<void> onSymlink(std::string_view /*path*/, std::string_view /*target*/) { return {}; }
    // Its content follows, in as many pieces as it came in; an empty file has none.
    virtual Result<void> onFile(std::string_view /*path*/, const NarFile&) { return {}; }
    virtual Result<void> onContent(std::string_view /*bytes*/) { return {}; }
    virtual Result<void> onFileEnd() { return {}; }
};

class NarParser {
public:
    explicit NarParser(NarVisitor& visitor, NarLimits limits = {}); // the visitor outlives the parser
    ~NarParser();
    NarParser(NarParser&&) noexcept;
    NarParser& operator=(NarParser&&) noexcept;
    NarParser(const NarParser&) = delete;
    NarParser& operator=(const NarParser&) = delete;

    // How many of the bytes belong to the archive: fewer than given only when it ended within them.
    [[nodiscard]] Result<std::size_t> push(std::string_view bytes);
    [[nodiscard]] bool isDone() const;
    // Corrupt when the archive is not whole.
    [[nodiscard]] Result<void> finish() const;
    [[nodiscard]] std::uint64_t byteCount() const; // of the archive so far

private:
    class State;
    std::unique_ptr<State> m_state;
};

// An archive that is whole in memory; Corrupt also when bytes follow it.
[[nodiscard]] Result<void> parseNar(std::string_view archive, NarVisitor& visitor, NarLimits limits = {});

// Writes an archive piece by piece; the caller keeps the order (names ascending). A wrong order, name or size
// is Invalid, as an archive that Nix would refuse may never leave. A writer that failed stays so. Small items
// are gathered before they go to the sink; large content goes there as it is.
class NarWriter {
public:
    explicit NarWriter(ByteSink sink);
    ~NarWriter();
    NarWriter(NarWriter&&) noexcept;
    NarWriter& operator=(NarWriter&&) noexcept;
    NarWriter(const NarWriter&) = delete;
    NarWriter& operator=(const NarWriter&) = delete;

    // name: within the directory that is open; "" for the root.
    [[nodiscard]] Result<void> beginDirectory(std::string_view name);
    [[nodiscard]] Result<void> endDirectory();
    [[nodiscard]] Result<void> symlink(std::string_view name, std::string_view target);
    // Ends by itself when its content is complete.
    [[nodiscard]] Result<void> beginFile(std::string_view name, std::uint64_t size, bool isExecutable);
    [[nodiscard]] Result<void> content(std::string_view bytes); // size bytes in all
    [[nodiscard]] Result<void> finish();                        // the archive is whole

private:
    class State;
    std::unique_ptr<State> m_state;
};

} // namespace penstock::nix
