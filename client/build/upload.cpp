// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/build/upload.h"

#include <fmt/format.h>

namespace penstock::client {

namespace {

// Paths, tags and lengths around a derivation's text.
constexpr std::size_t kOverhead = 64;
constexpr std::int64_t kMaxUnsentBytes = 8 << 20;

} // namespace

Result<std::vector<std::size_t>> planParts(std::span<const LocalDerivation> closure, std::size_t limit)
{
    std::vector<std::size_t> parts;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (const auto& derivation : closure) {
        const auto size = derivation.path.size() + derivation.text.size() + kOverhead;
        if (size > limit)
            return fail(ErrorCode::Exhausted,
                        fmt::format("derivation {} is {} bytes long; the limit is {}", derivation.path,
                                    derivation.text.size(), limit - kOverhead));
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

void BuildUpload::sendMore()
{
    while (!m_over && m_session.ready() && m_upload != 0 && m_nextPart < m_job.parts.size() &&
           m_session.unsent() < kMaxUnsentBytes) {
        monitor::ClientMessage message;
        auto& part = *message.mutable_build_part();
        part.set_upload(m_upload);
        for (std::size_t count = m_job.parts[m_nextPart]; count > 0; --count) {
            const auto& derivation = m_job.closure[m_nextDerivation++];
            auto& sent = *part.add_derivations();
            sent.set_path(derivation.path);
            sent.set_text(derivation.text);
        }
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

void BuildUpload::onMessage(const monitor::FeedMessage& message)
{
    if (m_over)
        return;
    if (message.has_build_accepted() && message.build_accepted().upload() == m_upload) {
        m_over = true;
        m_done(message.build_accepted());
    } else if (message.has_problem() && message.problem().watch() == m_upload) {
        m_over = true;
        m_done(fail(ErrorCode::Invalid, message.problem().message()));
    }
}

} // namespace penstock::client
