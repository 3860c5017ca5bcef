// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/transfer/sessions.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::transfer {

Session* Sessions::find(const Sender& sender)
{
    const auto found = m_sessions.find(sender);
    return found == m_sessions.end() ? nullptr : &found->second;
}

Item* Sessions::find(const Sender& sender, const nix::StorePath& path)
{
    auto* session = find(sender);
    if (session == nullptr)
        return nullptr;
    const auto found = session->items.find(path);
    return found == session->items.end() ? nullptr : &found->second;
}

Result<Session*> Sessions::open(const Sender& sender, std::shared_ptr<const AttemptFacts> facts, Instant now)
{
    auto* session = find(sender);
    if (session == nullptr) {
        if (m_sessions.size() >= m_limits.sessions)
            return fail(ErrorCode::Unavailable,
                        fmt::format("{} senders are uploading already, the limit is {}; try again later",
                                    m_sessions.size(), m_limits.sessions));
        session = &m_sessions.emplace(sender, Session{std::move(facts)}).first->second;
    }
    session->used = now;
    return session;
}

Result<void> Sessions::announce(const Sender& sender, Item item)
{
    auto& session = m_sessions.at(sender);
    const auto found = session.items.find(item.announced.path);
    if (found != session.items.end()) {
        const bool same = found->second.announced == item.announced;
        if (found->second.stage != Stage::Announced && !same)
            return fail(ErrorCode::Conflict, fmt::format("{} is announced with hash {} and was before with {}; publish "
                                                         "or drop the first",
                                                         item.announced.path.baseName(),
                                                         item.announced.narHash.prefixedBase32(),
                                                         found->second.announced.narHash.prefixedBase32()));
        if (found->second.stage == Stage::Announced)
            found->second = std::move(item);
        return {};
    }
    if (session.items.size() >= m_limits.itemsEach || m_items >= m_limits.items)
        return fail(ErrorCode::Exhausted,
                    fmt::format("{} paths are announced by this sender, {} by all, the limits are {} and {}; publish "
                                "what was sent",
                                session.items.size(), m_items, m_limits.itemsEach, m_limits.items));
    auto path = item.announced.path;
    session.items.emplace(std::move(path), std::move(item));
    ++m_items;
    return {};
}

void Sessions::remove(const Sender& sender, const nix::StorePath& path)
{
    if (auto* session = find(sender); session != nullptr)
        m_items -= session->items.erase(path);
}

std::vector<Item> Sessions::drop(const Sender& sender)
{
    std::vector<Item> left;
    const auto found = m_sessions.find(sender);
    if (found == m_sessions.end())
        return left;
    m_items -= found->second.items.size();
    for (auto& [path, item] : found->second.items) {
        // What is being published belongs to whoever publishes it.
        if (item.stage != Stage::Publishing && (item.staged || !item.upload.empty() || item.isPast))
            left.push_back(std::move(item));
    }
    m_sessions.erase(found);
    return left;
}

std::vector<Item> Sessions::dropIdle(Instant now)
{
    std::vector<Sender> idle;
    for (const auto& [sender, session] : m_sessions) {
        const bool busy = std::any_of(session.items.begin(), session.items.end(), [](const auto& item) {
            return item.second.stage == Stage::Receiving || item.second.stage == Stage::Publishing;
        });
        if (!busy && session.used + m_limits.idle <= now)
            idle.push_back(sender);
    }
    std::vector<Item> left;
    for (const auto& sender : idle) {
        for (auto& item : drop(sender))
            left.push_back(std::move(item));
    }
    return left;
}

std::vector<std::string> Sessions::staged(const nix::StoreDir& dir, std::size_t most) const
{
    std::vector<std::string> paths;
    for (const auto& [sender, session] : m_sessions) {
        for (const auto& [path, item] : session.items) {
            if (paths.size() >= most)
                return paths;
            if (item.staged)
                paths.push_back(path.print(dir));
        }
    }
    return paths;
}

std::size_t Sessions::stagedCount() const
{
    std::size_t count = 0;
    for (const auto& [sender, session] : m_sessions) {
        for (const auto& [path, item] : session.items)
            count += item.staged ? 1U : 0U;
    }
    return count;
}

} // namespace penstock::transfer
