// SPDX-License-Identifier: GPL-3.0-or-later
// A nix-daemon's side of a conversation from recorded bytes: gives them out in small pieces of changing size,
// keeps what is sent, and ends like a closed connection.
#pragma once

#include "shared/nixdaemon/wire.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

namespace penstock::test {

class ScriptedTransport final : public nixdaemon::Transport {
public:
    // sent: where the client's bytes go; outlives the transport.
    ScriptedTransport(std::string answer, std::string& sent) : m_answer(std::move(answer)), m_sent(sent) {}

    [[nodiscard]] Result<std::size_t> read(std::span<char> into) override
    {
        m_piece = m_piece % 13 + 1;
        const std::size_t size = std::min({m_piece, into.size(), m_answer.size() - m_at});
        if (size == 0)
            return fail(ErrorCode::Unavailable, "the recorded answer has ended");
        std::copy_n(m_answer.begin() + static_cast<std::ptrdiff_t>(m_at), size, into.begin());
        m_at += size;
        return size;
    }
    [[nodiscard]] Result<void> write(std::string_view bytes) override
    {
        m_sent.append(bytes);
        return {};
    }
    void cancel() override {}

private:
    std::string m_answer;
    std::string& m_sent;
    std::size_t m_at = 0;
    std::size_t m_piece = 0;
};

} // namespace penstock::test
