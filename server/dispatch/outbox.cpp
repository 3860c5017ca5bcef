// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/dispatch/outbox.h"

#include "shared/base/check.h"

#include <algorithm>
#include <type_traits>
#include <variant>

namespace penstock::dispatch {

Outbox::Destination Outbox::destinationOf(const core::Command& command)
{
    return std::visit(
        [](const auto& c) -> Destination {
            using T = std::decay_t<decltype(c)>;
            if constexpr (std::is_same_v<T, core::SendWelcome> || std::is_same_v<T, core::SendDesired> ||
                          std::is_same_v<T, core::SendStored> || std::is_same_v<T, core::CloseSession>)
                return {Kind::Session, c.session.value()};
            else if constexpr (std::is_same_v<T, core::Reply>)
                return {Kind::Request, c.request.value()};
            else if constexpr (std::is_same_v<T, core::Publish>)
                return {Kind::Feed, 0};
            else
                return {Kind::Self, 0};
        },
        command);
}

std::uint64_t Outbox::waitsFor(const core::Command& command)
{
    return std::visit(
        [](const auto& c) -> std::uint64_t {
            if constexpr (requires { c.after; })
                return c.after;
            else
                return 0;
        },
        command);
}

std::vector<core::Command> Outbox::hold(std::vector<core::Command> commands)
{
    std::vector<core::Command> leaving;
    for (core::Command& command : commands) {
        PENSTOCK_CHECK(!std::holds_alternative<core::Persist>(command));
        const Destination destination = destinationOf(command);
        // A session that is being closed hears of it at once: what it was still owed is moot.
        if (std::holds_alternative<core::CloseSession>(command)) {
            dropSession(SessionId{destination.id});
            leaving.push_back(std::move(command));
            continue;
        }
        std::uint64_t after = waitsFor(command);
        const auto last = m_last.find(destination);
        if (last != m_last.end())
            after = std::max(after, last->second.first);
        if (after <= m_confirmed && last == m_last.end()) {
            leaving.push_back(std::move(command));
            continue;
        }
        auto& [lastAfter, count] = m_last[destination];
        lastAfter = after;
        ++count;
        m_held.emplace(std::pair(after, m_nextOrder++), Held{destination, std::move(command)});
    }
    return leaving;
}

std::vector<core::Command> Outbox::confirm(std::uint64_t sequence)
{
    m_confirmed = std::max(m_confirmed, sequence);
    std::vector<core::Command> leaving;
    while (!m_held.empty() && m_held.begin()->first.first <= m_confirmed) {
        Held held = std::move(m_held.extract(m_held.begin()).mapped());
        const auto last = m_last.find(held.destination);
        if (--last->second.second == 0)
            m_last.erase(last);
        leaving.push_back(std::move(held.command));
    }
    return leaving;
}

void Outbox::dropSession(SessionId session)
{
    const Destination destination{Kind::Session, session.value()};
    if (m_last.erase(destination) == 0)
        return;
    std::erase_if(m_held, [&](const auto& entry) { return entry.second.destination == destination; });
}

} // namespace penstock::dispatch
