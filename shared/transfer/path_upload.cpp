// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/transfer/path_upload.h"

#include "shared/base/byte_pipe.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

namespace penstock::transfer {
namespace {

constexpr std::uint64_t kHeldNar = 1U << 20U; // up to this size a NAR is compressed in memory
constexpr std::size_t kPipeBytes = 1U << 20U;
constexpr unsigned kMaxRenewals = 5;   // of expired addresses, for a path
constexpr unsigned kPartsAtATime = 20; // addresses asked for

class Upload {
public:
    Upload(const UploadTools& tools, const nix::NarInfo& info, PathPlan plan)
        : m_tools(tools), m_info(info), m_plan(std::move(plan))
    {}

    Result<std::optional<PartsDone>> run()
    {
        unsigned renewals = 0;
        for (unsigned retry = 1;; ++retry) {
            m_parts.reset();
            const Result<void> outcome = m_plan.parts ? putParts() : putWhole();
            if (outcome)
                return std::move(m_parts);
            const ErrorCode code = outcome.error().code;
            if (isCancelled())
                return fail(ErrorCode::Cancelled,
                            fmt::format("sending {}: cancelled", m_info.path.baseName()));
            const bool isPast = m_plan.parts || m_plan.put->isPastServer();
            // A server that was started anew knows nothing of what was announced.
            const bool isForgotten = code == ErrorCode::NotFound && !m_isStoreBroken;
            const bool hasExpired =
                (isForgotten || (isPast && code == ErrorCode::Denied)) && ++renewals <= kMaxRenewals;
            const bool isAway = code == ErrorCode::Unavailable;
            if (m_isStoreBroken || (!hasExpired && !isAway))
                return fail(outcome.error());
            if (isAway && !isPast && !m_tools.road.waitBefore(retry, [this] { return isCancelled(); }))
                return fail(outcome.error());
            if (isPast || isForgotten) {
                PENSTOCK_TRY(const bool isPresent, renew(isAway));
                if (isPresent)
                    return std::optional<PartsDone>();
            }
        }
    }

private:
    [[nodiscard]] bool isCancelled() const { return m_tools.interrupt.isRaised(); }

    // A new plan. True: somebody else brought it meanwhile.
    Result<bool> renew(bool isDirect)
    {
        m_isDirect = m_isDirect || isDirect;
        PENSTOCK_TRY(auto plans,
                     m_tools.road.announce({m_info}, m_isDirect, [this] { return isCancelled(); }));
        m_plan = std::move(plans.front());
        if (m_plan.state == PathState::Refused)
            return fail(ErrorCode::Denied,
                        fmt::format("the server refuses {}: {}", m_info.path.baseName(), m_plan.reason));
        return m_plan.state == PathState::Present;
    }

    // The NAR, compressed. Errors of the store are remembered as such: trying the network again cannot help.
    Result<void> produce(const ByteSink& sink)
    {
        bool isSinkBroken = false;
        const ByteSink noting = [&](std::string_view bytes) {
            auto taken = sink(bytes);
            isSinkBroken = isSinkBroken || !taken;
            return taken;
        };
        const auto produced = [&]() -> Result<void> {
            PENSTOCK_TRY(const auto encoder, compress::makeEncoder(m_plan.encoding));
            const ByteSink tap = m_tools.tap ? m_tools.tap(m_info.path) : ByteSink();
            const auto encode = [&](std::string_view bytes) -> Result<void> {
                if (tap)
                    PENSTOCK_TRY_VOID(tap(bytes));
                return encoder->push(bytes, noting);
            };
            PENSTOCK_TRY_VOID(m_tools.store(m_tools.interrupt)->readNar(m_info, encode));
            return encoder->finish(noting);
        }();
        m_isStoreBroken = m_isStoreBroken || (!produced && !isSinkBroken);
        return produced;
    }

    Result<void> put(const PutOrder& order, Road::Body body, std::string& etag)
    {
        PENSTOCK_TRY(etag,
                     m_tools.road.put(m_info.path, order, std::move(body), [this] { return isCancelled(); }));
        return {};
    }
    Result<void> putText(const PutOrder& order, const std::string& text, std::string& etag)
    {
        std::size_t at = 0;
        const ByteSource source = [&](std::span<char> into) -> Result<std::size_t> {
            const std::size_t count = std::min(into.size(), text.size() - at);
            std::copy_n(text.data() + at, count, into.data());
            at += count;
            return count;
        };
        return put(order, {source, text.size()}, etag);
    }

    Result<void> putWhole()
    {
        std::string etag;
        if (m_info.narSize <= kHeldNar) {
            std::string file;
            PENSTOCK_TRY_VOID(produce([&](std::string_view bytes) -> Result<void> {
                file.append(bytes);
                return {};
            }));
            return putText(*m_plan.put, file, etag);
        }
        return m_plan.put->isPastServer() ? putSpooled(etag) : putStreamed(etag);
    }

    // The store pushes and the request pulls, so a second thread and a pipe stand between them.
    Result<void> putStreamed(std::string& etag)
    {
        BytePipe pipe(kPipeBytes);
        std::thread producer;
        try {
            producer = std::thread([&] {
                if (const auto produced = produce([&](std::string_view bytes) { return pipe.write(bytes); }))
                    pipe.finish();
                else
                    pipe.fail(produced.error());
            });
        } catch (const std::system_error& error) {
            return fail(ErrorCode::Exhausted,
                        fmt::format("no thread to send {} with: {}; raise the limit of tasks",
                                    m_info.path.baseName(), error.what()));
        }
        auto sent =
            put(*m_plan.put, {[&](std::span<char> into) { return pipe.read(into); }, std::nullopt}, etag);
        pipe.abandon({ErrorCode::Unavailable, "the request ended before the body"});
        producer.join();
        return sent;
    }

    // S3 wants to know the length beforehand.
    Result<void> putSpooled(std::string& etag)
    {
        const nixdaemon::FileDescriptor file(
            ::open(m_tools.spoolDirectory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR));
        const auto broken = [&](std::string_view what) {
            m_isStoreBroken = true;
            return fail(errno == ENOSPC ? ErrorCode::Exhausted : ErrorCode::Internal,
                        fmt::format("{} of {} in {}: {}; make room or name another directory", what,
                                    m_info.path.baseName(), m_tools.spoolDirectory,
                                    std::generic_category().message(errno)));
        };
        if (!file.isOpen())
            return broken("making the temporary file");
        std::uint64_t size = 0;
        PENSTOCK_TRY_VOID(produce([&](std::string_view bytes) -> Result<void> {
            while (!bytes.empty()) {
                const ssize_t count = ::write(file.number(), bytes.data(), bytes.size());
                if (count < 0 && errno != EINTR)
                    return broken("writing the temporary file");
                const std::size_t written = count < 0 ? 0 : static_cast<std::size_t>(count);
                bytes.remove_prefix(written);
                size += written;
            }
            return {};
        }));
        off_t at = 0;
        const ByteSource source = [&](std::span<char> into) -> Result<std::size_t> {
            const ssize_t count = ::pread(file.number(), into.data(), into.size(), at);
            if (count < 0)
                return broken("reading the temporary file");
            at += count;
            return static_cast<std::size_t>(count);
        };
        return put(*m_plan.put, {source, size}, etag);
    }

    // One part after the other; a part is in memory until it is there.
    Result<void> putParts()
    {
        m_parts = PartsDone{m_info.path, m_plan.parts->upload, {}};
        const std::uint64_t partBytes = m_plan.parts->partBytes;
        std::string part;
        const ByteSink cut = [&](std::string_view bytes) -> Result<void> {
            while (part.size() + bytes.size() > partBytes) {
                const std::size_t room = partBytes - part.size();
                part.append(bytes.substr(0, room));
                bytes.remove_prefix(room);
                PENSTOCK_TRY_VOID(putPart(part));
                part.clear();
            }
            part.append(bytes);
            return {};
        };
        PENSTOCK_TRY_VOID(produce(cut));
        return putPart(part);
    }

    Result<void> putPart(const std::string& part)
    {
        const auto number = static_cast<unsigned>(m_parts->etags.size()) + 1;
        unsigned renewals = 0;
        bool isExpired = false;
        for (unsigned retry = 1;; ++retry) {
            PENSTOCK_TRY(const PutOrder order, addressOf(number, isExpired));
            std::string etag;
            const auto sent = putText(order, part, etag);
            if (sent && etag.empty())
                return fail(ErrorCode::Corrupt,
                            fmt::format("part {} of {}: the answer has no ETag; is this S3?", number,
                                        m_info.path.baseName()));
            if (sent) {
                m_parts->etags.push_back(std::move(etag));
                return {};
            }
            isExpired = sent.error().code == ErrorCode::Denied && ++renewals <= kMaxRenewals;
            const bool isAway = sent.error().code == ErrorCode::Unavailable;
            if (!isExpired && (!isAway || !m_tools.road.waitBefore(retry, [this] { return isCancelled(); })))
                return sent;
        }
    }

    Result<PutOrder> addressOf(unsigned number, bool isExpired)
    {
        std::vector<PartOrder>& known = m_plan.parts->parts;
        if (isExpired)
            known.clear();
        const auto find = [&] { return std::ranges::find(known, number, &PartOrder::number); };
        if (find() == known.end()) {
            if (number > kMaxParts)
                return fail(
                    ErrorCode::Exhausted,
                    fmt::format("{} has more than {} parts of {} bytes; let the server use larger parts",
                                m_info.path.baseName(), kMaxParts, m_plan.parts->partBytes));
            std::vector<unsigned> numbers;
            for (unsigned next = number; next <= kMaxParts && numbers.size() < kPartsAtATime; ++next)
                numbers.push_back(next);
            PENSTOCK_TRY(known, m_tools.road.moreParts(m_info.path, m_plan.parts->upload, numbers,
                                                       [this] { return isCancelled(); }));
        }
        if (find() == known.end())
            return fail(ErrorCode::Corrupt, fmt::format("the server gives no address for part {} of {}",
                                                        number, m_info.path.baseName()));
        return find()->put;
    }

    const UploadTools& m_tools;
    const nix::NarInfo& m_info;
    PathPlan m_plan;
    std::optional<PartsDone> m_parts;
    bool m_isDirect = false;
    bool m_isStoreBroken = false;
};

} // namespace

Result<std::optional<PartsDone>> uploadPath(const UploadTools& tools, const nix::NarInfo& info, PathPlan plan)
{
    return Upload(tools, info, std::move(plan)).run();
}

} // namespace penstock::transfer
