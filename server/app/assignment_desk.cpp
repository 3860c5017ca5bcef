// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/assignment_desk.h"

#include "shared/base/passing.h"
#include "shared/protocol/frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::app {
namespace {

constexpr Duration kFirstWait = std::chrono::milliseconds(200);
constexpr Duration kLongestWait = std::chrono::seconds(10);
// Texts and input paths of one message. The rest of it is bounded by the core to about as much.
constexpr std::size_t kMessageBytes = std::size_t{1} << 20U;
// One derivation may fill a frame but for what else its assignment says.
constexpr std::size_t kDerivationBytes = protocol::kMaxFrameBytes - (std::size_t{64} << 10U);

Duration waitAfter(unsigned tries)
{
    return std::min(kLongestWait, kFirstWait * (1U << std::min(tries, 10U)));
}

std::size_t sizeOf(const std::string& drv, const std::vector<std::string>& inputPaths)
{
    std::size_t size = drv.size();
    for (const std::string& path : inputPaths)
        size += path.size() + 8;
    return size;
}

std::size_t sizeOf(const protocol::Assignment& assignment)
{
    const auto* nix = std::get_if<protocol::NixWork>(&assignment.work);
    return nix == nullptr ? 0 : sizeOf(nix->drv, nix->inputPaths);
}

} // namespace

std::vector<protocol::Desired> splitBySize(protocol::Desired desired)
{
    std::vector<protocol::Desired> messages;
    std::vector<protocol::Assignment> assign = std::exchange(desired.assign, {});
    const std::uint64_t revision = desired.revision;
    const bool isDraining = desired.draining;
    std::size_t bytes = 0;
    for (protocol::Assignment& assignment : assign) {
        const std::size_t size = sizeOf(assignment);
        if (!desired.assign.empty() && bytes + size > kMessageBytes) {
            desired.revision = revision == 0 ? 0 : revision - 1;
            messages.push_back(std::exchange(desired, {}));
            desired.revision = revision;
            desired.draining = isDraining;
            bytes = 0;
        }
        bytes += size;
        desired.assign.push_back(std::move(assignment));
    }
    messages.push_back(std::move(desired));
    return messages;
}

AssignmentDesk::AssignmentDesk(Parts parts, AssignmentActions actions)
    : m_parts(parts), m_actions(std::move(actions)), m_alive(std::make_shared<bool>(true))
{
}

AssignmentDesk::~AssignmentDesk()
{
    *m_alive = false;
}

void AssignmentDesk::desired(SessionId session, protocol::Desired desired)
{
    const bool isReady = std::ranges::none_of(desired.assign, [](const protocol::Assignment& assignment) {
        return std::holds_alternative<protocol::NixWork>(assignment.work);
    });
    enqueue(session, {++m_lastTicket, std::move(desired), isReady});
}

void AssignmentDesk::stored(SessionId session, std::vector<AttemptId> attempts)
{
    enqueue(session, {++m_lastTicket, std::move(attempts), true});
}

void AssignmentDesk::gone(SessionId session)
{
    m_queues.erase(session);
}

std::size_t AssignmentDesk::waiting() const
{
    std::size_t count = 0;
    for (const auto& [session, queue] : m_queues)
        count += queue.size();
    return count;
}

void AssignmentDesk::enqueue(SessionId session, Message message)
{
    const auto found = m_queues.find(session);
    if (found == m_queues.end() && message.isReady)
        return send(session, std::move(message));
    if (found != m_queues.end() && found->second.size() >= kMaxWaiting) {
        gone(session);
        return m_actions.cutOff(session, fmt::format("{} messages wait for texts of derivations; connect again",
                                                     kMaxWaiting));
    }
    const std::uint64_t ticket = message.ticket;
    const bool isReady = message.isReady;
    m_queues[session].push_back(std::move(message));
    if (!isReady)
        complete(session, ticket);
}

AssignmentDesk::Message* AssignmentDesk::find(SessionId session, std::uint64_t ticket)
{
    const auto queue = m_queues.find(session);
    if (queue == m_queues.end())
        return nullptr;
    const auto found = std::ranges::find(queue->second, ticket, &Message::ticket);
    return found == queue->second.end() ? nullptr : &*found;
}

void AssignmentDesk::complete(SessionId session, std::uint64_t ticket)
{
    Message* message = find(session, ticket);
    if (message == nullptr)
        return;
    std::vector<DerivationTexts::Wanted> wanted;
    std::vector<AttemptId> attempts;
    for (const protocol::Assignment& assignment : std::get<protocol::Desired>(message->content).assign) {
        const auto* nix = std::get_if<protocol::NixWork>(&assignment.work);
        if (nix == nullptr || !nix->drv.empty())
            continue;
        wanted.push_back({assignment.step, nix->drvPath});
        attempts.push_back(assignment.attempt);
    }
    m_parts.texts.find(std::move(wanted), [this, alive = m_alive, session, ticket, attempts = std::move(attempts)](
                                              std::vector<Result<DerivationTexts::Text>> texts) {
        if (*alive)
            textsCame(session, ticket, attempts, std::move(texts));
    });
}

void AssignmentDesk::textsCame(SessionId session, std::uint64_t ticket, const std::vector<AttemptId>& attempts,
                               std::vector<Result<DerivationTexts::Text>> texts)
{
    Message* message = find(session, ticket);
    if (message == nullptr)
        return; // it is gone
    std::map<AttemptId, Result<DerivationTexts::Text>> byAttempt;
    for (std::size_t at = 0; at < attempts.size(); ++at)
        byAttempt.emplace(attempts[at], std::move(texts[at]));
    std::vector<std::pair<AttemptId, std::string>> failed;
    std::string waitsFor;
    std::erase_if(std::get<protocol::Desired>(message->content).assign, [&](protocol::Assignment& assignment) {
        const auto answer = byAttempt.find(assignment.attempt);
        if (answer == byAttempt.end())
            return false;
        const Result<DerivationTexts::Text>& text = answer->second;
        if (!text && isPassing(text.error())) {
            waitsFor = text.error().message;
            return false;
        }
        const std::size_t size = text ? sizeOf((*text)->drv, (*text)->inputPaths) : 0;
        auto& nix = std::get<protocol::NixWork>(assignment.work);
        if (text && size <= kDerivationBytes) {
            nix.drv = (*text)->drv;
            nix.inputPaths = (*text)->inputPaths;
            return false;
        }
        failed.emplace_back(assignment.attempt,
                            text ? fmt::format("{} and its input paths have {} bytes, more than the limit of {}; "
                                               "split its inputs over several derivations",
                                               nix.drvPath, size, kDerivationBytes)
                                 : text.error().message);
        return true;
    });
    const bool isReady = waitsFor.empty();
    const unsigned tries = message->tries++;
    message->isReady = isReady;
    for (auto& [attempt, why] : failed) {
        m_parts.logger.warning("assignment.no_text", {{"attempt", attempt.value()}, {"error", why}});
        m_actions.fail(session, attempt, std::move(why));
    }
    if (isReady)
        return flush(session);
    m_parts.logger.warning("assignment.text_waits",
                           {{"session", session.value()}, {"tries", tries + 1}, {"error", waitsFor}});
    m_parts.loop.postAt(m_parts.clock.now().mono + waitAfter(tries), [this, alive = m_alive, session, ticket] {
        if (*alive)
            complete(session, ticket);
    });
}

void AssignmentDesk::flush(SessionId session)
{
    for (;;) {
        const auto queue = m_queues.find(session);
        if (queue == m_queues.end() || !queue->second.front().isReady)
            return;
        Message message = std::move(queue->second.front());
        queue->second.pop_front();
        if (queue->second.empty())
            m_queues.erase(queue);
        send(session, std::move(message));
    }
}

void AssignmentDesk::send(SessionId session, Message message)
{
    if (auto* attempts = std::get_if<std::vector<AttemptId>>(&message.content))
        return m_actions.sendStored(session, std::move(*attempts));
    for (protocol::Desired& part : splitBySize(std::move(std::get<protocol::Desired>(message.content))))
        m_actions.sendDesired(session, std::move(part));
}

} // namespace penstock::app
