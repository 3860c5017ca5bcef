// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/net/builder_links.h"

#include "server/net/builder_link.h"

#include <QWebSocket>
#include <fmt/format.h>

namespace penstock::net {
namespace {

constexpr int kTickMillis = 200;
constexpr std::size_t kDepartedLogs = 1'000; // kept for each machine between two connections

} // namespace

BuilderLinks::BuilderLinks(Loop& loop, const Clock& clock, Logger& logger, LinkSink& sink, LinkOptions options)
    : m_loop(loop), m_clock(clock), m_logger(logger), m_sink(sink), m_options(std::move(options)),
      m_self(std::make_shared<BuilderLinks*>(this))
{
    connect(&m_timer, &QTimer::timeout, this, &BuilderLinks::tick);
    m_timer.start(kTickMillis);
}

BuilderLinks::~BuilderLinks()
{
    *m_self = nullptr;
}

void BuilderLinks::adopt(QWebSocket* socket, std::string peer, std::string credential)
{
    const SessionId session{m_nextSession++};
    const auto [at, inserted] = m_links.emplace(
        session, std::make_unique<BuilderLink>(*this, session, socket, std::move(peer), std::move(credential)));
    if (m_links.size() > m_options.maxLinks)
        at->second->close(protocol::GoodbyeReason::Overloaded,
                          fmt::format("the server serves at most {} builders", m_options.maxLinks));
}

void BuilderLinks::close(SessionId session, protocol::GoodbyeReason reason, const std::string& text)
{
    if (const auto link = m_links.find(session); link != m_links.end())
        link->second->close(reason, text);
}

void BuilderLinks::sendWelcome(SessionId session, MachineId machine)
{
    if (const auto link = m_links.find(session); link != m_links.end())
        link->second->welcome(machine);
}

void BuilderLinks::sendDesired(SessionId session, protocol::Desired desired)
{
    const auto link = m_links.find(session);
    if (link == m_links.end())
        return;
    link->second->allowLogs(desired);
    link->second->send(std::move(desired));
}

void BuilderLinks::sendStored(SessionId session, std::vector<AttemptId> attempts)
{
    if (const auto link = m_links.find(session); link != m_links.end())
        link->second->send(protocol::ResultStored{std::move(attempts)});
}

void BuilderLinks::closeAll(protocol::GoodbyeReason reason, const std::string& text)
{
    for (const auto& [session, link] : m_links)
        link->close(reason, text);
}

void BuilderLinks::remove(SessionId session)
{
    // Not inside the link's own call: it is still on the stack.
    m_loop.post([self = m_self, session] {
        if (*self != nullptr)
            (*self)->m_links.erase(session);
    });
}

void BuilderLinks::rememberLogs(MachineId machine, std::set<AttemptId> attempts)
{
    while (attempts.size() > kDepartedLogs)
        attempts.erase(attempts.begin()); // attempt ids grow: the first is the oldest
    if (m_departed.size() >= m_options.maxLinks)
        m_departed.erase(m_departed.begin());
    m_departed.insert_or_assign(machine, std::move(attempts));
}

std::set<AttemptId> BuilderLinks::takeLogs(MachineId machine)
{
    const auto found = m_departed.find(machine);
    return found == m_departed.end() ? std::set<AttemptId>() : std::move(m_departed.extract(found).mapped());
}

void BuilderLinks::tick()
{
    const Now now = m_clock.now();
    for (const auto& [session, link] : m_links)
        link->tick(now);
}

} // namespace penstock::net
