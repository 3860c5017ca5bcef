// SPDX-License-Identifier: GPL-3.0-or-later
// The primitive encodings of the nix-daemon protocol (nix-formats 5.2): 8-byte little-endian numbers and
// padded strings. WireWriter appends to memory. WireReader pulls from a Transport and checks every length
// before it allocates; its errors are the transport's, or Corrupt when the peer breaks the format. One thread
// at a time.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::nixdaemon {

inline constexpr std::uint64_t kMaxWireString = 256U << 20U;
inline constexpr std::uint64_t kMaxWireCount = 10'000'000;
// Of frames (nix-formats 5.8) and of pieces read. A daemon allocates a whole frame.
inline constexpr std::size_t kFrameSize = 64U << 10U;

// Bytes to and from a daemon. Blocking; every failure means that the connection is of no more use.
struct Transport {
    virtual ~Transport() = default;
    // At least one byte; Unavailable at the end of the stream.
    [[nodiscard]] virtual Result<std::size_t> read(std::span<char> into) = 0;
    [[nodiscard]] virtual Result<void> write(std::string_view bytes) = 0;
    // Makes a blocked or later call of another thread fail with Cancelled. Callable from any thread.
    virtual void cancel() = 0;
    // The peer sees the end; no call may follow. Not while a call runs.
    virtual void close() {}
    // Bytes are here that a read gives at once. They are noticed while something is written.
    [[nodiscard]] virtual bool hasArrived() const { return false; }
};

class WireWriter {
public:
    void number(std::uint64_t value);
    void boolean(bool value) { number(value ? 1 : 0); }
    void string(std::string_view text);
    void path(const nix::StoreDir& dir, const nix::StorePath& path) { string(path.print(dir)); }
    void optionalPath(const nix::StoreDir& dir, const std::optional<nix::StorePath>& path)
    {
        string(path ? path->print(dir) : std::string());
    }
    void paths(const nix::StoreDir& dir, const nix::StorePathSet& paths);
    template <class Strings> void strings(const Strings& texts)
    {
        number(texts.size());
        for (const auto& text : texts)
            string(text);
    }
    // Payload in frames, with the closing empty frame.
    void framed(std::string_view payload);

    void raw(std::string_view bytes) { m_bytes.append(bytes); }

    [[nodiscard]] const std::string& bytes() const { return m_bytes; }

private:
    std::string m_bytes;
};

class WireReader {
public:
    explicit WireReader(Transport& transport) : m_transport(transport) {}

    // False: the next read may wait for the peer.
    [[nodiscard]] bool hasBuffered() const { return m_at < m_end; }
    // What is buffered; waits for at least one byte. Valid until the next call.
    [[nodiscard]] Result<std::string_view> peek();
    // size: at most what peek() gave.
    void consume(std::size_t size) { m_at += size; }
    [[nodiscard]] Result<std::uint64_t> number();
    [[nodiscard]] Result<bool> boolean();
    [[nodiscard]] Result<std::string> string();
    // A list's length, checked against kMaxWireCount.
    [[nodiscard]] Result<std::uint64_t> count();
    [[nodiscard]] Result<std::vector<std::string>> strings();
    [[nodiscard]] Result<nix::StorePath> path(const nix::StoreDir& dir);
    // Empty text for none.
    [[nodiscard]] Result<std::optional<nix::StorePath>> optionalPath(const nix::StoreDir& dir);
    [[nodiscard]] Result<nix::StorePathSet> paths(const nix::StoreDir& dir);

private:
    [[nodiscard]] Result<void> take(std::span<char> into);

    Transport& m_transport;
    std::vector<char> m_buffer;
    std::size_t m_at = 0;
    std::size_t m_end = 0; // of what was received
};

} // namespace penstock::nixdaemon
