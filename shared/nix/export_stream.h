// SPDX-License-Identifier: GPL-3.0-or-later
// `nix-store --export` streams (nix-formats 3.5): NARs one after the other, each followed by its path,
// references and deriver. A reader by pushes that keeps no content, and a writer. Pure; an object belongs to
// one stream. Errors: Corrupt for what is no such stream, Exhausted above a limit, Invalid for wrong use of
// the writer. The stream holds no hash: whoever imports must trust its sender, or know the hashes from
// elsewhere.
#pragma once

#include "shared/base/result.h"
#include "shared/base/stream.h"
#include "shared/nix/nar.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace penstock::nix {

struct ExportedPath {
    StorePath path;
    StorePathSet references; // a self-reference included
    std::optional<StorePath> deriver;
    std::uint64_t narSize = 0;

    friend bool operator==(const ExportedPath&, const ExportedPath&) = default;
};

struct ExportLimits {
    NarLimits nar = {};
    std::uint64_t maxPaths = 1'000'000;
    std::uint64_t maxReferences = 50'000; // of one path
};

// For each path: onNar and the events of its NAR, mixed, then onPath; only then is it known whose NAR it was.
// An error stops the reader and is its error.
struct ExportVisitor : NarVisitor {
    // The next bytes of the NAR as they are; they were parsed already.
    virtual Result<void> onNar(std::string_view /*bytes*/) { return {}; }
    virtual Result<void> onPath(const ExportedPath& /*path*/) { return {}; }
};

class ExportReader {
public:
    ExportReader(StoreDir dir, ExportVisitor& visitor, ExportLimits limits = {}); // the visitor outlives it
    ~ExportReader();
    ExportReader(ExportReader&&) noexcept;
    ExportReader& operator=(ExportReader&&) noexcept;
    ExportReader(const ExportReader&) = delete;
    ExportReader& operator=(const ExportReader&) = delete;

    // How many of the bytes belong to the stream: fewer than given only when it ended within them.
    [[nodiscard]] Result<std::size_t> push(std::string_view bytes);
    [[nodiscard]] bool isDone() const;
    // Corrupt when the stream is not whole.
    [[nodiscard]] Result<void> finish() const;

private:
    class State;
    std::unique_ptr<State> m_state;
};

// The caller keeps the order: a path comes after all it refers to.
class ExportWriter {
public:
    ExportWriter(StoreDir dir, ByteSink sink);
    ~ExportWriter();
    ExportWriter(ExportWriter&&) noexcept;
    ExportWriter& operator=(ExportWriter&&) noexcept;
    ExportWriter(const ExportWriter&) = delete;
    ExportWriter& operator=(const ExportWriter&) = delete;

    // The bytes of one NAR, in pieces of any size. They are parsed, since a reader finds the end only by
    // that.
    [[nodiscard]] Result<void> nar(std::string_view bytes);
    // Ends the NAR. narSize is not looked at.
    [[nodiscard]] Result<void> endPath(const ExportedPath& path);
    [[nodiscard]] Result<void> finish();

private:
    class State;
    std::unique_ptr<State> m_state;
};

} // namespace penstock::nix
