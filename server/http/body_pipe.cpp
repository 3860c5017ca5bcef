// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/body_pipe.h"

#include "shared/base/check.h"

#include <algorithm>
#include <utility>

namespace penstock::http {

BodyPipe::BodyPipe(Loop& home, Task wanted) : m_home(home), m_wanted(std::move(wanted)) {}

bool BodyPipe::offer(std::string& piece)
{
    return m_pieces.push(std::move(piece));
}

void BodyPipe::end()
{
    m_pieces.close();
}

void BodyPipe::abandon(std::string reason)
{
    if (m_broken.isCancelled())
        return;
    m_reason = std::move(reason);
    m_broken.cancel();
    m_pieces.close();
}

Result<std::string> BodyPipe::next()
{
    if (!m_broken.isCancelled()) {
        m_home.post(m_wanted);
        if (auto piece = m_pieces.takeOne(); piece && !m_broken.isCancelled())
            return *std::move(piece);
    }
    if (m_broken.isCancelled())
        return fail(ErrorCode::Unavailable, m_reason);
    return std::string();
}

PiecePipe::PiecePipe(Loop& home, std::function<void(std::string)> arrived) : m_home(home), m_arrived(std::move(arrived))
{
    for (std::size_t at = 0; at < kPipePieces; ++at)
        took();
}

Result<void> PiecePipe::write(std::string_view bytes)
{
    while (!bytes.empty()) {
        const auto taken = std::min(bytes.size(), kPipePieceBytes - m_kept.size());
        m_kept.append(bytes.substr(0, taken));
        bytes.remove_prefix(taken);
        if (m_kept.size() == kPipePieceBytes)
            PENSTOCK_TRY_VOID(flush());
    }
    return {};
}

Result<void> PiecePipe::flush()
{
    if (m_kept.empty())
        return {};
    const auto credit = m_credits.takeOne();
    if (!credit || m_cancelled.isCancelled())
        return fail(ErrorCode::Cancelled, "the peer went away while it was answered");
    m_home.post([arrived = m_arrived, piece = std::exchange(m_kept, {})]() mutable { arrived(std::move(piece)); });
    return {};
}

void PiecePipe::took()
{
    // Never more than were given out, so there is room; closed is fine, too.
    const bool kept = m_credits.push({});
    PENSTOCK_CHECK(kept || m_cancelled.isCancelled());
}

void PiecePipe::cancel()
{
    m_cancelled.cancel();
    m_credits.close();
}

} // namespace penstock::http
