// SPDX-License-Identifier: GPL-3.0-or-later
// How DaemonConnection takes an archive out of a store, and understands an error in the middle of it.
#include "shared/nixdaemon/daemon_connection.h"

#include "shared/nix/nar.h"
#include "shared/nixdaemon/daemon_messages.h"

#include <algorithm>
#include <utility>

namespace penstock::nixdaemon {
namespace {

// How much of an archive is kept to look for an error in it: a daemon's complaint with its traces.
constexpr std::size_t kTail = 64U << 10U;

// Gives out what was read already, then what the transport has.
class Replay final : public Transport {
public:
    Replay(std::string_view first, Transport& then) : m_first(first), m_then(then) {}

    [[nodiscard]] Result<std::size_t> read(std::span<char> into) override
    {
        if (m_first.empty())
            return m_then.read(into);
        const std::size_t part = std::min(into.size(), m_first.size());
        std::copy_n(m_first.begin(), part, into.begin());
        m_first.remove_prefix(part);
        return part;
    }
    [[nodiscard]] Result<void> write(std::string_view bytes) override { return m_then.write(bytes); }
    void cancel() override { m_then.cancel(); }

private:
    std::string_view m_first;
    Transport& m_then;
};

} // namespace

Result<void> DaemonConnection::narFromPath(const nix::StorePath& path, const ByteSink& sink)
{
    WireWriter request = beginRequest(Operation::NarFromPath);
    request.path(m_dir, path);
    DaemonEvents events;
    PENSTOCK_TRY_VOID(recover());
    PENSTOCK_TRY_VOID(exchange(request, events));
    auto streamed = streamNar(sink);
    if (!streamed)
        return abandon(std::move(streamed.error()).in(path.baseName()));
    ready(false);
    return {};
}

Result<void> DaemonConnection::streamNar(const ByteSink& sink)
{
    nix::NarVisitor visitor;
    nix::NarParser parser(visitor);
    std::string tail;
    while (!parser.isDone()) {
        auto bytes = m_reader.peek();
        if (!bytes)
            return fail(explainInNar(std::move(bytes.error()), std::move(tail)));
        if (tail.size() + bytes->size() > 2 * kTail)
            tail.erase(0, tail.size() - std::min(tail.size(), kTail));
        tail.append(*bytes);
        auto used = parser.push(*bytes);
        if (!used) {
            m_reader.consume(bytes->size());
            return fail(explainInNar({ErrorCode::Corrupt, std::move(used.error().message)}, std::move(tail)));
        }
        PENSTOCK_TRY_VOID(sink(bytes->substr(0, *used)));
        m_reader.consume(*used);
    }
    return {};
}

// A daemon that fails while it reads the store puts its error in the middle of the archive and ends
// (nix-formats 5.9): where a length is due, or, for a file that shrank, anywhere in its content.
Error DaemonConnection::explainInNar(Error failure, std::string tail)
{
    if (failure.code != ErrorCode::Corrupt && failure.code != ErrorCode::Unavailable)
        return failure;
    WireWriter mark;
    mark.number(kErrorMessage);
    const std::size_t at = tail.rfind(mark.bytes());
    if (at == std::string::npos)
        return failure;
    Replay replay(std::string_view(tail).substr(at + mark.bytes().size()), *m_transport);
    WireReader reader(replay);
    auto complaint = readComplaint(reader, m_greeting.minor);
    return complaint ? Error{ErrorCode::Invalid, std::move(complaint->text)} : failure;
}

} // namespace penstock::nixdaemon
