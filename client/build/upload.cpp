// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/build/upload.h"

#include <fmt/format.h>

namespace penstock::client {

namespace {

// Paths, tags and lengths around a derivation's text.
constexpr std::size_t kOverhead = 64;
constexpr std::int64_t kMaxUnsentBytes = 8 << 20;

} // namespace

Result<std::vector<std::size_t>> planParts(const Closure& closure, std::size_t limit)
{
    std::vector<std::size_t> parts;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (std::size_t at = 0; at < closure.derivations.size(); ++at) {
        const auto size = closure.derivations[at].size() + closure.sizes[at] + kOverhead;
        if (size > limit)
            return fail(ErrorCode::Exhausted,
                        fmt::format("derivation {} is {} bytes long; the limit is {}", closure.derivations[at],
                                    closure.sizes[at], limit - kOverhead));
        if (bytes + size > limit) {
            parts.push_back(count);
            count = 0;
            bytes = 0;
        }
        ++count;
        bytes += size;
    }
    if (count != 0 || parts.empty())
        parts.push_back(count);
    return parts;
}

BuildUpload::BuildUpload(MonitorSession& session, Job job, Done done)
    : m_session(session), m_job(std::move(job)), m_done(std::move(done))
{
    m_session.onSent([this] { sendMore(); });
}

void BuildUpload::onConnected()
{
    if (m_over)
        return;
    ++m_upload;
    m_nextPart = 0;
    m_nextDerivation = 0;
    sendMore();
}

Result<void> BuildUpload::fill(monitor::BuildPart& part)
{
    for (std::size_t count = m_job.parts[m_nextPart]; count > 0; --count, ++m_nextDerivation) {
        const auto& path = m_job.closure.derivations[m_nextDerivation];
        PENSTOCK_TRY(auto text, m_job.read(path));
        if (text.size() != m_job.closure.sizes[m_nextDerivation])
            return fail(ErrorCode::Conflict, fmt::format("derivation {} has changed while it was sent: {} bytes, not "
                                                         "{}; check the store with nix-store --verify",
                                                         path, text.size(), m_job.closure.sizes[m_nextDerivation]));
        auto& sent = *part.add_derivations();
        sent.set_path(path);
        sent.set_text(std::move(text));
    }
    return {};
}

void BuildUpload::sendMore()
{
    while (!m_over && m_session.ready() && m_upload != 0 && m_nextPart < m_job.parts.size() &&
           m_session.unsent() < kMaxUnsentBytes) {
        monitor::ClientMessage message;
        auto& part = *message.mutable_build_part();
        part.set_upload(m_upload);
        if (auto filled = fill(part); !filled)
            return end(fail(std::move(filled).error()));
        ++m_nextPart;
        if (m_nextPart == m_job.parts.size()) {
            part.set_last(true);
            for (const auto& root : m_job.roots)
                part.add_roots(root);
            part.set_job_json(m_job.json);
        }
        m_session.send(message);
    }
}

void BuildUpload::end(Result<monitor::BuildAccepted> accepted)
{
    m_over = true;
    m_done(std::move(accepted));
}

void BuildUpload::onMessage(const monitor::FeedMessage& message)
{
    if (m_over)
        return;
    if (message.has_build_accepted() && message.build_accepted().upload() == m_upload)
        end(message.build_accepted());
    else if (message.has_problem() && message.problem().watch() == m_upload)
        end(fail(ErrorCode::Invalid, message.problem().message()));
}

} // namespace penstock::client
