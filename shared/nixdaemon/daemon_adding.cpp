// SPDX-License-Identifier: GPL-3.0-or-later
// How DaemonConnection moves bytes: archives out of a store, archives, files and logs into it, and lasting
// roots.
#include "shared/nixdaemon/daemon_connection.h"

#include "shared/nixdaemon/daemon_messages.h"
#include "shared/nixdaemon/nar_guard.h"
#include "shared/nixdaemon/store_codec.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::nixdaemon {
namespace {

// First protocol minors.
constexpr unsigned kFramedNar = 23;
constexpr unsigned kFramedContent = 25;
constexpr unsigned kAddMultiple = 32;
constexpr unsigned kAddBuildLog = 33;

// Asks the source until it ends; each piece goes through the guard and is then in the frame.
Result<void> pour(const ByteSource& source, NarGuard& guard, FrameWriter& frames)
{
    for (;;) {
        const std::span<char> room = frames.room();
        PENSTOCK_TRY(const std::size_t size, source(room));
        if (size == 0)
            return guard.finish();
        PENSTOCK_TRY_VOID(guard.push(std::string_view(room.data(), size)));
        PENSTOCK_TRY_VOID(frames.advance(size));
    }
}

// A daemon has no codes: its words about another hash (of all versions from 2.0) are what NarGuard would have said.
Result<void> asCorrupt(Result<void> taken)
{
    if (!taken && taken.error().code == ErrorCode::Invalid &&
        taken.error().message.find("hash mismatch importing path") != std::string::npos)
        taken.error().code = ErrorCode::Corrupt;
    return taken;
}

// Up to the announced size; the source must then be at its end.
Result<void> pourExactly(const ContentToAdd& content, const ByteSource& source, const ByteSink& sink)
{
    std::vector<char> buffer(kFrameSize);
    std::uint64_t total = 0;
    for (;;) {
        PENSTOCK_TRY(const std::size_t size, source(buffer));
        total += size;
        if (size == 0 ? total != content.size : total > content.size)
            return fail(ErrorCode::Corrupt,
                        fmt::format("{}: the content has {} {} bytes where {} were announced", content.name,
                                    size == 0 ? "only" : "at least", total, content.size));
        if (size == 0)
            return {};
        PENSTOCK_TRY_VOID(sink(std::string_view(buffer.data(), size)));
    }
}

std::string padding(std::uint64_t size)
{
    return std::string((8 - size % 8) % 8, '\0');
}

} // namespace

// --- streams of ours
// ----------------------------------------------------------------------------------------

Error DaemonConnection::explain(Error failure)
{
    // The daemon often says why before it closes. It has closed, so nothing here waits.
    while (failure.code == ErrorCode::Unavailable) {
        DaemonEvents events;
        auto message = readMessage(m_reader, m_greeting.minor, events);
        if (!message)
            break;
        if (auto* complaint = std::get_if<Complaint>(&*message))
            return {ErrorCode::Invalid, std::move(complaint->text)};
    }
    return failure;
}

Result<void> DaemonConnection::send(std::string_view bytes)
{
    auto written = m_transport->write(bytes);
    if (!written)
        return fail(explain(std::move(written.error())));
    return takeMessages();
}

// A daemon takes all frames before it answers, so an answer now means that it did not take them for frames:
// stop at once, before it obeys them (nix-formats 5.6).
Result<void> DaemonConnection::takeMessages()
{
    if (!m_transport->hasArrived())
        return {};
    DaemonEvents events;
    while (m_reader.hasBuffered() || m_transport->hasArrived()) {
        PENSTOCK_TRY(Message message, readMessage(m_reader, m_greeting.minor, events));
        if (auto* complaint = std::get_if<Complaint>(&message))
            return fail(ErrorCode::Invalid, std::move(complaint->text));
        if (!std::holds_alternative<Told>(message))
            return fail(ErrorCode::Corrupt,
                        "the nix-daemon's answer is out of step: it answers before all was sent");
    }
    return {};
}

Result<void> DaemonConnection::sendFramed(const WireWriter& request, const Produce& produce)
{
    PENSTOCK_TRY_VOID(send(request.bytes()));
    FrameWriter frames([this](std::string_view frame) { return send(frame); });
    PENSTOCK_TRY_VOID(produce(frames));
    // Not send(): behind the last frame an answer is due.
    auto written = frames.finish([this](std::string_view frame) { return m_transport->write(frame); });
    if (!written)
        return fail(explain(std::move(written.error())));
    return {};
}

Result<void> DaemonConnection::finishStream()
{
    DaemonEvents events;
    PENSTOCK_TRY(const auto complaint, readMessages(m_reader, m_greeting.minor, events));
    ready(complaint.has_value());
    if (complaint)
        return fail(ErrorCode::Invalid, complaint->text);
    return {};
}

// --- archives in
// --------------------------------------------------------------------------------------------

Result<void> DaemonConnection::addToStoreNar(const NarToAdd& nar, const AddOptions& options)
{
    PENSTOCK_TRY(const WireWriter request, addNarRequest(m_dir, nar, options));
    PENSTOCK_TRY_VOID(begin());
    Result<void> sent;
    if (m_greeting.minor >= kFramedNar) {
        sent = sendFramed(request, [&](FrameWriter& frames) {
            NarGuard guard(nar.info.narHash, nar.info.narSize, HashedBy::Daemon);
            return pour(nar.nar, guard, frames);
        });
        if (sent)
            return asCorrupt(finishStream());
        sent = asCorrupt(std::move(sent));
    } else {
        sent = sendOnRequest(request, nar);
    }
    if (!sent && m_state == State::Broken)
        return abandon(std::move(sent.error()).in(nar.path.baseName()));
    return sent;
}

// Protocol 1.21 and 1.22: the daemon asks for each piece, and may be done, or fail, before it has asked for
// all.
Result<void> DaemonConnection::sendOnRequest(const WireWriter& request, const NarToAdd& nar)
{
    PENSTOCK_TRY_VOID(m_transport->write(request.bytes()));
    NarGuard guard(nar.info.narHash, nar.info.narSize);
    std::vector<char> buffer(kFrameSize);
    std::size_t held =
        0; // one piece is kept back until the next is there: the last goes only when all was right
    bool isAtEnd = false;
    DaemonEvents events;
    for (;;) {
        PENSTOCK_TRY(Message message, readMessage(m_reader, m_greeting.minor, events));
        if (auto* complaint = std::get_if<Complaint>(&message)) {
            ready(true);
            return fail(ErrorCode::Invalid, std::move(complaint->text));
        }
        if (std::holds_alternative<Done>(message)) {
            ready(false);
            return {};
        }
        if (!std::holds_alternative<Wanted>(message))
            continue;
        PENSTOCK_TRY(const std::uint64_t wanted, m_reader.number());
        const std::size_t limit = std::min<std::uint64_t>(kFrameSize / 2, wanted);
        if (limit == 0)
            return fail(ErrorCode::Corrupt, "the nix-daemon wants 0 bytes: its answer is out of step");
        while (!isAtEnd && held <= limit) {
            const std::span<char> room = std::span(buffer).subspan(held);
            PENSTOCK_TRY(const std::size_t size, nar.nar(room));
            if (size == 0)
                PENSTOCK_TRY_VOID(guard.finish());
            else
                PENSTOCK_TRY_VOID(guard.push(std::string_view(room.data(), size)));
            isAtEnd = size == 0;
            held += size;
        }
        const std::size_t part = std::min(held, limit);
        WireWriter piece;
        piece.string(std::string_view(buffer.data(), part)); // empty: the end
        PENSTOCK_TRY_VOID(m_transport->write(piece.bytes()));
        std::copy(buffer.begin() + static_cast<std::ptrdiff_t>(part),
                  buffer.begin() + static_cast<std::ptrdiff_t>(held), buffer.begin());
        held -= part;
    }
}

Result<void> DaemonConnection::addMultipleToStore(const std::vector<NarToAdd>& nars,
                                                  const AddOptions& options)
{
    if (m_greeting.minor < kAddMultiple) {
        for (const NarToAdd& nar : nars)
            PENSTOCK_TRY_VOID(addToStoreNar(nar, options));
        return {};
    }
    // Nix 2.8 does not read the archive of a path that is valid already, and takes it for the next path's
    // name.
    PENSTOCK_TRY(const auto wanted, notYetValid(nars, options));
    std::vector<WireWriter> entries;
    for (const NarToAdd* nar : wanted) {
        PENSTOCK_TRY(WireWriter entry, multipleEntry(m_dir, *nar));
        entries.push_back(std::move(entry));
    }
    if (wanted.empty())
        return {};
    WireWriter request = beginRequest(Operation::AddMultipleToStore);
    request.boolean(options.repair);
    request.boolean(options.dontCheckSignatures);
    PENSTOCK_TRY_VOID(begin());
    auto sent = sendFramed(request, [&](FrameWriter& frames) -> Result<void> {
        WireWriter count;
        count.number(wanted.size());
        PENSTOCK_TRY_VOID(frames.write(count.bytes()));
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            PENSTOCK_TRY_VOID(frames.write(entries[i].bytes()));
            NarGuard guard(wanted[i]->info.narHash, wanted[i]->info.narSize, HashedBy::Daemon);
            auto poured = pour(wanted[i]->nar, guard, frames);
            if (!poured)
                return fail(std::move(poured.error()).in(wanted[i]->path.baseName()));
        }
        return {};
    });
    if (!sent)
        return abandon(asCorrupt(std::move(sent)).error());
    return asCorrupt(finishStream());
}

Result<std::vector<const NarToAdd*>> DaemonConnection::notYetValid(const std::vector<NarToAdd>& nars,
                                                                   const AddOptions& options)
{
    nix::StorePathSet valid;
    if (!options.repair) {
        nix::StorePathSet all;
        for (const NarToAdd& nar : nars)
            all.insert(nar.path);
        PENSTOCK_TRY(valid, queryValidPaths(all, false));
    }
    std::vector<const NarToAdd*> wanted;
    for (const NarToAdd& nar : nars)
        if (valid.insert(nar.path).second) // the same path twice would be valid at its second turn
            wanted.push_back(&nar);
    return wanted;
}

// --- files, logs, signatures
// --------------------------------------------------------------------------------

Result<nix::StorePath> DaemonConnection::addToStore(const ContentToAdd& content, const ByteSource& source)
{
    const bool isFramed = m_greeting.minor >= kFramedContent;
    PENSTOCK_TRY(const WireWriter request,
                 isFramed ? addContentRequest(m_dir, content) : addContentRequestOld(content));
    PENSTOCK_TRY_VOID(begin());
    auto sent = isFramed ? sendFramed(request,
                                      [&](FrameWriter& frames) {
                                          return pourExactly(content, source, [&](std::string_view bytes) {
                                              return frames.write(bytes);
                                          });
                                      })
                         : sendWhole(request, content, source);
    if (!sent)
        return abandon(std::move(sent.error()));
    PENSTOCK_TRY_VOID(finishStream());
    m_state = State::Broken; // until the result is read
    PENSTOCK_TRY(nix::StorePath path, m_reader.path(m_dir));
    if (isFramed)
        PENSTOCK_TRY_VOID(readPathInfo(m_reader, m_dir));
    ready(false);
    return path;
}

// Below 1.25: the content as part of the request, without frames.
Result<void> DaemonConnection::sendWhole(const WireWriter& request, const ContentToAdd& content,
                                         const ByteSource& source)
{
    WireWriter before;
    WireWriter after;
    const std::string pad = padding(content.size);
    if (content.method == nix::AddressMethod::Text) {
        before.number(content.size);
        after.raw(pad);
        after.paths(m_dir, content.references);
    } else if (content.method == nix::AddressMethod::Flat) {
        for (const std::string_view tag : {"nix-archive-1", "(", "type", "regular", "contents"})
            before.string(tag);
        before.number(content.size);
        after.raw(pad);
        after.string(")");
    }
    PENSTOCK_TRY_VOID(m_transport->write(request.bytes() + before.bytes()));
    nix::NarVisitor visitor;
    nix::NarParser parser(visitor);
    const bool isNar = content.method == nix::AddressMethod::Recursive;
    PENSTOCK_TRY_VOID(pourExactly(content, source, [&](std::string_view bytes) -> Result<void> {
        // Without frames nothing else holds the daemon in step.
        if (isNar) {
            PENSTOCK_TRY(const std::size_t used, parser.push(bytes));
            if (used < bytes.size())
                return fail(ErrorCode::Corrupt, fmt::format("{}: bytes follow the NAR", content.name));
        }
        return m_transport->write(bytes);
    }));
    if (isNar)
        PENSTOCK_TRY_VOID(parser.finish());
    return m_transport->write(after.bytes());
}

Result<void> DaemonConnection::addSignatures(const nix::StorePath& path,
                                             const std::vector<std::string>& signatures)
{
    WireWriter request = beginRequest(Operation::AddSignatures);
    request.path(m_dir, path);
    request.strings(signatures);
    DaemonEvents events;
    return callForOne(request, events);
}

Result<void> DaemonConnection::addBuildLog(const nix::StorePath& drvPath, const ByteSource& log)
{
    PENSTOCK_TRY_VOID(needMinor(kAddBuildLog, "adding a build log"));
    if (!drvPath.isDerivation())
        return fail(ErrorCode::Invalid,
                    fmt::format("{} does not end in .drv, so it has no build log", drvPath.baseName()));
    WireWriter request = beginRequest(Operation::AddBuildLog);
    request.string(drvPath.baseName());
    PENSTOCK_TRY_VOID(begin());
    auto sent = sendFramed(request, [&](FrameWriter& frames) -> Result<void> {
        for (;;) {
            PENSTOCK_TRY(const std::size_t size, log(frames.room()));
            if (size == 0)
                return {};
            PENSTOCK_TRY_VOID(frames.advance(size));
        }
    });
    if (!sent)
        return abandon(std::move(sent.error()));
    PENSTOCK_TRY_VOID(finishStream());
    m_state = State::Broken; // until the result is read
    PENSTOCK_TRY_VOID(m_reader.number());
    ready(false);
    return {};
}

} // namespace penstock::nixdaemon
