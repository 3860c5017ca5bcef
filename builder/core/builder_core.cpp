// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/core/builder_core.h"

#include "shared/protocol/limits.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <utility>

namespace penstock::builder {

using protocol::Outcome;
using protocol::RejectReason;

BuilderCore::BuilderCore(protocol::MachineFacts facts, std::vector<RecoveredAttempt> recovered)
    : m_facts(std::move(facts))
{
    for (RecoveredAttempt& entry : recovered) {
        const AttemptId attempt = entry.result.attempt;
        remember(entry.step, attempt);
        m_held.insert_or_assign(attempt, Held{entry.step, State::Finished, false, false, std::move(entry.result)});
    }
}

std::vector<CoreCommand> BuilderCore::apply(std::vector<CoreEvent> batch)
{
    for (CoreEvent& event : batch)
        std::visit([this](auto& one) { on(one); }, event);
    sayDrainedOnce();
    return std::exchange(m_out, {});
}

protocol::Report BuilderCore::report() const
{
    protocol::Report report;
    report.appliedRevision = m_revision;
    report.held.reserve(m_held.size());
    for (const auto& [attempt, held] : m_held)
        report.held.push_back({attempt, held.state == State::Finished});
    return report;
}

void BuilderCore::on(LinkUp&)
{
    m_linkUp = true;
    m_revision = 0; // revisions count within a connection
    if (m_draining)
        m_out.emplace_back(Send{protocol::Drain{true, m_drainNote}});
    for (const auto& [attempt, held] : m_held) {
        if (held.state == State::Finished)
            m_out.emplace_back(Send{*held.result});
    }
}

void BuilderCore::on(LinkDown&)
{
    m_linkUp = false;
}

void BuilderCore::on(DesiredArrived& event)
{
    protocol::Desired& desired = event.desired;
    if (desired.revision < m_revision)
        return; // late; a newer one was applied
    m_revision = desired.revision;
    if (desired.complete)
        dropUnwanted(desired);
    for (const protocol::StopOrder& order : desired.stop) {
        const auto found = m_held.find(order.attempt);
        if (found != m_held.end())
            stopRunning(order.attempt, found->second, Outcome::Cancelled, order.reason, false);
    }
    for (protocol::BadAssignment& bad : desired.bad)
        answer(bad.attempt, bad.reason, std::move(bad.text));
    for (protocol::Assignment& assignment : desired.assign)
        assign(assignment);
}

void BuilderCore::dropUnwanted(const protocol::Desired& desired)
{
    std::set<AttemptId> wanted(desired.wanted.begin(), desired.wanted.end());
    for (const protocol::Assignment& assignment : desired.assign)
        wanted.insert(assignment.attempt);
    for (auto held = m_held.begin(); held != m_held.end();) {
        if (wanted.contains(held->first)) {
            ++held;
            continue;
        }
        if (held->second.state == State::Finished) {
            held = forget(held, true);
            continue;
        }
        held->second.unwanted = true;
        stopRunning(held->first, held->second, Outcome::Cancelled, "the server no longer wants it", false);
        ++held;
    }
}

void BuilderCore::assign(protocol::Assignment& assignment)
{
    const AttemptId attempt = assignment.attempt;
    if (const auto found = m_held.find(attempt); found != m_held.end()) {
        accept(attempt);
        if (found->second.state == State::Finished)
            m_out.emplace_back(Send{*found->second.result});
        return;
    }
    if (auto refused = refusal(assignment)) {
        m_out.emplace_back(Send{std::move(*refused)});
        return;
    }
    for (auto& [other, held] : m_held) { // fenced: the server has given up on the older one
        if (held.step == assignment.step)
            stopRunning(other, held, Outcome::Cancelled, "a newer attempt of the step was assigned", true);
    }
    remember(assignment.step, attempt);
    m_held.emplace(attempt, Held{assignment.step, State::Running, false, false, std::nullopt});
    ++m_running;
    accept(attempt);
    m_out.emplace_back(StartAttempt{std::move(assignment)});
}

std::optional<protocol::AttemptAnswer> BuilderCore::refusal(const protocol::Assignment& assignment) const
{
    const auto refuse = [&](RejectReason reason, std::string text) {
        return protocol::AttemptAnswer{assignment.attempt, false, reason, std::move(text)};
    };
    const auto newest = m_newest.find(assignment.step);
    if (newest != m_newest.end() && newest->second >= assignment.attempt)
        return refuse(RejectReason::Stale, fmt::format("attempt {} of step {} is or was here already",
                                                       newest->second.value(), assignment.step.value()));
    if (m_draining)
        return refuse(RejectReason::Draining, "the builder is draining");
    const std::string_view executor =
        std::holds_alternative<protocol::NixWork>(assignment.work) ? "nix" : "command";
    if (std::ranges::find(m_facts.executors, executor) == m_facts.executors.end())
        return refuse(RejectReason::Unsupported, fmt::format("the executor {} is not available here", executor));
    if (std::string excess = excessOf(assignment); !excess.empty())
        return refuse(RejectReason::Resources, std::move(excess));
    if (!m_shortage.empty())
        return refuse(RejectReason::Resources, m_shortage);
    const std::uint32_t slots = assignment.beyondSlots ? protocol::kMaxSlots : m_facts.maxJobs;
    // Outputs on their way out take no slot, for as many attempts as there are slots: the server counts the same way.
    const std::size_t taken = m_running - std::min<std::size_t>(m_sending, m_facts.maxJobs);
    if (taken >= slots)
        return refuse(RejectReason::NoSlot,
                      fmt::format("{} attempts run, {} {}", taken, slots,
                                  assignment.beyondSlots ? "is the most that a builder takes" : "slots are here"));
    return std::nullopt;
}

// It could never run here: the server's idea of this machine is old, or wrong. What we do not know ourselves is let
// through.
std::string BuilderCore::excessOf(const protocol::Assignment& assignment) const
{
    // Slots may be more than cores on purpose: a cpu is then a slot's part of the machine, for the server too.
    const std::uint32_t cpus =
        assignment.beyondSlots ? protocol::kMaxSlots : std::max(m_facts.cores, m_facts.maxJobs);
    if (m_facts.cores > 0 && assignment.cpus > cpus)
        return fmt::format("{} cpus are asked for, this machine has {}", assignment.cpus, cpus);
    if (m_facts.memoryBytes > 0 && assignment.memoryBytes > m_facts.memoryBytes)
        return fmt::format("{} bytes of memory are asked for, this machine has {}", assignment.memoryBytes,
                           m_facts.memoryBytes);
    for (const auto& [name, amount] : assignment.resources) {
        const auto found = m_facts.resources.find(name);
        const std::uint64_t here = found == m_facts.resources.end() ? 0 : found->second;
        if (amount > here)
            return fmt::format("{} of the resource {} are asked for, this machine has {}", amount, name, here);
    }
    return {};
}

void BuilderCore::on(StoredArrived& event)
{
    for (const AttemptId attempt : event.attempts) {
        const auto found = m_held.find(attempt);
        if (found != m_held.end() && found->second.state == State::Finished)
            forget(found, false);
    }
}

void BuilderCore::on(AttemptEnded& event)
{
    const auto found = m_held.find(event.result.attempt);
    if (found == m_held.end() || found->second.state == State::Finished)
        return;
    --m_running;
    Held& held = found->second;
    m_sending -= std::exchange(held.isSending, false) ? 1U : 0U;
    held.state = State::Finished;
    held.result = std::move(event.result);
    if (held.unwanted) {
        forget(found, true);
        return;
    }
    if (m_linkUp)
        m_out.emplace_back(Send{*held.result});
}

void BuilderCore::on(AttemptMoved& event)
{
    const auto found = m_held.find(event.progress.attempt);
    if (found == m_held.end())
        return;
    Held& held = found->second;
    const std::string& phase = event.progress.phase;
    const bool isSending =
        held.state != State::Finished && (phase == "uploading" || (held.isSending && phase == "finishing"));
    m_sending -= held.isSending ? 1U : 0U;
    m_sending += isSending ? 1U : 0U;
    held.isSending = isSending;
    if (m_linkUp)
        m_out.emplace_back(Send{std::move(event.progress)});
}

void BuilderCore::on(DrainAsked& event)
{
    m_draining = event.draining;
    m_drainNote = std::move(event.note);
    m_drainedSaid = false;
    if (m_linkUp)
        m_out.emplace_back(Send{protocol::Drain{m_draining, m_drainNote}});
}

void BuilderCore::on(StopAsked& event)
{
    m_draining = true;
    for (auto& [attempt, held] : m_held)
        stopRunning(attempt, held, Outcome::Infrastructure, event.reason, true);
}

void BuilderCore::on(ResourcesChanged& event)
{
    m_shortage = std::move(event.shortage);
}

void BuilderCore::on(FactsChanged& event)
{
    m_facts = std::move(event.facts);
    if (m_linkUp)
        m_out.emplace_back(Send{m_facts});
}

// A second order without grace goes through, so that an abort can overtake an orderly stop.
void BuilderCore::stopRunning(AttemptId attempt, Held& held, Outcome outcome, std::string reason, bool atOnce)
{
    if (held.state == State::Finished || (held.state == State::Stopping && !atOnce))
        return;
    held.state = State::Stopping;
    m_out.emplace_back(StopAttempt{attempt, outcome, std::move(reason), atOnce});
}

void BuilderCore::answer(AttemptId attempt, RejectReason reason, std::string text)
{
    m_out.emplace_back(Send{protocol::AttemptAnswer{attempt, false, reason, std::move(text)}});
}

void BuilderCore::accept(AttemptId attempt)
{
    m_out.emplace_back(Send{protocol::AttemptAnswer{attempt, true, RejectReason::Unspecified, {}}});
}

BuilderCore::HeldMap::iterator BuilderCore::forget(HeldMap::iterator held, bool dropLog)
{
    m_out.emplace_back(ForgetAttempt{held->first, dropLog});
    return m_held.erase(held);
}

void BuilderCore::remember(StepId step, AttemptId attempt)
{
    auto [found, isNew] = m_newest.try_emplace(step, attempt);
    found->second = std::max(found->second, attempt);
    if (isNew && m_newest.size() > kRememberedSteps)
        m_newest.erase(m_newest.begin());
}

void BuilderCore::sayDrainedOnce()
{
    if (!m_draining || m_drainedSaid || m_running > 0 || (m_linkUp && !m_held.empty()))
        return;
    m_drainedSaid = true;
    m_out.emplace_back(Drained{m_held.size()});
}

std::string BuilderCore::findBrokenInvariant() const
{
    std::size_t running = 0;
    std::size_t sending = 0;
    for (const auto& [attempt, held] : m_held) {
        running += held.state == State::Finished ? 0 : 1;
        sending += held.isSending ? 1U : 0U;
        if ((held.state == State::Finished) != held.result.has_value())
            return fmt::format("attempt {} is {}finished but its result is {}", attempt.value(),
                               held.state == State::Finished ? "" : "not ", held.result ? "here" : "missing");
    }
    if (running != m_running)
        return fmt::format("{} attempts run, {} slots are counted as in use", running, m_running);
    if (sending != m_sending)
        return fmt::format("{} attempts send outputs, {} are counted", sending, m_sending);
    if (m_newest.size() > kRememberedSteps)
        return fmt::format("{} steps are remembered, the limit is {}", m_newest.size(), kRememberedSteps);
    return {};
}

} // namespace penstock::builder
