// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_builder.h"

#include <algorithm>
#include <fmt/format.h>
#include <vector>

namespace penstock::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Frames final : protocol::FrameSink {
    std::vector<std::string> payloads;
    void onFrame(ByteView payload) override { payloads.emplace_back(textOf(payload)); }
};

// Those known beforehand, and for the others whatever this attempt made.
std::vector<protocol::NixOutput> outputsOf(const protocol::Assignment& assignment)
{
    const auto* nix = std::get_if<protocol::NixWork>(&assignment.work);
    std::vector<protocol::NixOutput> outputs = nix == nullptr ? std::vector<protocol::NixOutput>() : nix->outputs;
    for (protocol::NixOutput& output : outputs)
        if (output.path.empty())
            output.path = fmt::format("/nix/store/{}-{}", assignment.name, assignment.attempt.value());
    return outputs;
}

} // namespace

SimBuilder::SimBuilder(SimServer& server, const Truths& truths, std::string identity,
                       protocol::MachineFacts facts)
    : m_server(server),
      m_world(server.world()),
      m_ledger(server.ledger()),
      m_truths(truths),
      m_identity(std::move(identity)),
      m_facts(std::move(facts))
{}

void SimBuilder::start()
{
    if (m_isRetired || std::exchange(m_isUp, true))
        return;
    ++m_life;
    m_instance = fmt::format("{:032x}", m_world.random.next());
    std::vector<builder::RecoveredAttempt> recovered;
    for (const auto& [attempt, entry] : m_spool)
        recovered.push_back(entry);
    m_core.emplace(m_facts, std::move(recovered));
    m_world.note("builder.start", m_life);
    connect();
}

void SimBuilder::crash()
{
    if (!std::exchange(m_isUp, false))
        return;
    m_world.note("builder.crash", m_life);
    ++m_life;
    for (const auto& [attempt, running] : std::exchange(m_running, {}))
        m_ledger.killed(attempt, running.step);
    m_core.reset();
    if (m_wire == nullptr)
        return;
    if (m_world.random.chance(30))
        m_wire->die(); // the machine, not only the program
    m_wire->close(0);
    disconnected();
}

void SimBuilder::cutLink(bool halfOpen)
{
    if (m_wire == nullptr)
        return;
    m_world.note(halfOpen ? "link.half_open" : "link.cut");
    m_world.reach(halfOpen ? "link.half_open" : "link.cut");
    if (halfOpen)
        return m_wire->die(); // our own deadline finds out
    m_wire->close(0);
    disconnected();
}

void SimBuilder::connect()
{
    if (!m_isUp || m_wire != nullptr)
        return;
    if (!m_networkUp || !m_server.isUp())
        return retryLater();
    ++m_connection;
    m_wire = std::make_shared<Wire>(m_world, m_world.random.duration(milliseconds(1), milliseconds(40)));
    const std::uint64_t connection = m_connection;
    m_wire->attach(0, {[this](const std::string& bytes) { receive(bytes); },
                       [this, connection] {
                           if (connection == m_connection)
                               disconnected();
                       }});
    m_session = protocol::Session::forBuilder(protocol::ownDialect(), m_world.now());
    m_decoder = std::make_unique<protocol::FrameDecoder>();
    m_server.accept(m_wire);
    protocol::Hello hello;
    hello.identity = m_identity;
    hello.instance = m_instance;
    hello.version = "sim";
    hello.facts = m_facts;
    send(hello);
    watch();
}

void SimBuilder::disconnected()
{
    if (m_wire == nullptr)
        return;
    const bool wasUp = isLinkUp();
    m_wire.reset();
    m_session.reset();
    ++m_connection;
    if (wasUp && m_core)
        apply(builder::LinkDown{});
    retryLater();
}

void SimBuilder::retryLater()
{
    m_world.after(m_world.random.duration(milliseconds(100), seconds(3)), [this, life = m_life] {
        if (life == m_life)
            connect();
    });
}

// Heartbeats and the deadline of this connection.
void SimBuilder::watch()
{
    if (m_session == std::nullopt || m_wire == nullptr)
        return;
    const Now now = m_world.now();
    const protocol::SessionDue due = m_session->due(now);
    if (due == protocol::SessionDue::Dead) {
        m_world.note("builder.deadline");
        m_wire->close(0);
        return disconnected();
    }
    if (due == protocol::SessionDue::SendHeartbeat)
        report();
    m_world.after(std::max<Duration>(m_session->nextDue() - now.mono, milliseconds(1)),
                  [this, connection = m_connection] {
                      if (connection == m_connection)
                          watch();
                  });
}

void SimBuilder::send(const protocol::BuilderMessage& message)
{
    if (m_wire == nullptr)
        return;
    std::string bytes;
    if (auto appended = protocol::appendMessage(bytes, message); !appended)
        return m_world.violate(appended.error().message);
    m_world.note("builder.send", message.index());
    m_wire->send(0, bytes);
}

bool SimBuilder::isLinkUp() const
{
    return m_session && m_session->state() == protocol::SessionState::Open;
}

void SimBuilder::report()
{
    protocol::Report report = m_core->report();
    report.load = load();
    report.sentAt = m_world.now().wall;
    report.sequence = m_session->heartbeatSent(m_world.now());
    send(report);
}

// Ours and others'.
protocol::LoadSample SimBuilder::load() const
{
    protocol::LoadSample load = m_others;
    std::uint64_t memory = 0;
    double threads = load.cpuBusyPercent / 100.0 * m_facts.cores;
    for (const auto& [id, running] : m_running) {
        threads += running.truth.milliThreads / 1000.0;
        memory += running.truth.memoryBytes;
    }
    load.load1 += threads;
    load.cpuBusyPercent = std::min(100.0, threads * 100.0 / std::max(m_facts.cores, 1U));
    load.memoryAvailableBytes = m_facts.memoryBytes - std::min(memory, m_facts.memoryBytes);
    load.diskTotalBytes = std::uint64_t{100} << 30U;
    if (load.diskFreeBytes == 0)
        load.diskFreeBytes = std::uint64_t{50} << 30U;
    return load;
}

void SimBuilder::receive(const std::string& bytes)
{
    Frames frames;
    m_decoder->push(bytesOf(bytes), frames);
    const std::uint64_t connection = m_connection;
    for (const std::string& payload : frames.payloads) {
        if (connection != m_connection || !m_session)
            return;
        auto message = protocol::decodeServerMessage(bytesOf(payload));
        if (!message || !*message)
            return m_world.violate(message ? "an unknown message" : message.error().message);
        handle(*std::move(*message));
    }
}

void SimBuilder::handle(protocol::ServerMessage message)
{
    if (const auto* hello = std::get_if<protocol::Welcome>(&message))
        return welcome(*hello);
    if (std::holds_alternative<protocol::Goodbye>(message)) {
        m_wire->close(0);
        return disconnected();
    }
    if (auto heard = m_session->onTraffic(m_world.now()); !heard)
        return m_world.violate(heard.error().message);
    if (auto* desired = std::get_if<protocol::Desired>(&message)) {
        const bool isShort = m_world.random.chance(quirks.rejectPercent);
        if (isShort)
            apply(builder::ResourcesChanged{"sim: no room"});
        apply(builder::DesiredArrived{std::move(*desired)});
        if (isShort)
            apply(builder::ResourcesChanged{{}});
    } else if (auto* stored = std::get_if<protocol::ResultStored>(&message)) {
        apply(builder::StoredArrived{std::move(stored->attempts)});
    }
}

void SimBuilder::welcome(const protocol::Welcome& welcome)
{
    if (auto opened = m_session->onWelcome(welcome, m_world.now()); !opened)
        return m_world.violate(opened.error().message);
    report();
    watch();
    apply(builder::LinkUp{});
}

void SimBuilder::apply(builder::CoreEvent event)
{
    std::vector<builder::CoreEvent> batch;
    batch.push_back(std::move(event));
    const std::vector<builder::CoreCommand> commands = m_core->apply(std::move(batch));
    if (const std::string broken = m_core->findBrokenInvariant(); !broken.empty())
        m_world.violate(broken);
    for (const builder::CoreCommand& command : commands)
        std::visit([this](const auto& one) { carryOut(one); }, command);
}

void SimBuilder::carryOut(const builder::Send& command)
{
    if (const auto* answer = std::get_if<protocol::AttemptAnswer>(&command.message);
        answer && !answer->accepted)
        m_world.reach(fmt::format("builder.rejects_{}", protocol::toString(answer->reason)));
    if (!isLinkUp())
        return;
    send(command.message);
    if (m_world.random.chance(quirks.repeatPercent))
        send(command.message);
}

// What the farm holds to be running here, as it was granted, fits the machine as it really is.
void SimBuilder::checkRoom(const protocol::Assignment& assignment)
{
    work::Resources sum;
    std::size_t slots = 0;
    for (const auto& [id, running] : m_running) {
        if (!m_ledger.isLive(id))
            continue; // given up by the farm, and about to be stopped
        ++slots;
        sum.cpus += running.granted.cpus;
        sum.memoryBytes += running.granted.memoryBytes;
        for (const auto& [name, amount] : running.granted.named)
            sum.named[name] += amount;
    }
    const auto most = [&](std::string_view what, std::uint64_t used, std::uint64_t all) {
        if (used > all)
            m_world.violate(fmt::format("{} has {} {} and runs {}", m_facts.name, all, what, used));
    };
    if (!assignment.beyondSlots) {
        most("slots", m_running.size(), m_facts.maxJobs);
        most("cpus", sum.cpus, std::max(m_facts.cores, m_facts.maxJobs));
    }
    if (m_facts.memoryBytes > 0)
        most("bytes of memory", sum.memoryBytes, m_facts.memoryBytes);
    for (const auto& [name, amount] : sum.named)
        most(name, amount, m_facts.resources[name]);
}

void SimBuilder::carryOut(const builder::StartAttempt& command)
{
    const protocol::Assignment& assignment = command.assignment;
    const AttemptId id = assignment.attempt;
    const auto known = m_truths.find(assignment.name);
    Truth truth = known == m_truths.end() ? Truth{quirks.shortest, quirks.longest} : known->second;
    if (quirks.isBlackHole)
        truth.shortest = truth.longest = milliseconds(20);
    m_running.emplace(id, Running{assignment.step,
                                  choose(),
                                  m_world.now().wall,
                                  truth,
                                  {assignment.cpus, assignment.memoryBytes, assignment.resources},
                                  outputsOf(assignment)});
    if (const auto* nix = std::get_if<protocol::NixWork>(&assignment.work); nix != nullptr && !nix->resolved.empty())
        m_world.reach("builder.resolved_inputs");
    m_ledger.started(id, assignment.step);
    checkRoom(assignment);
    m_world.note("run", id.value(), assignment.step.value());
    m_world.after(m_world.random.duration(truth.shortest, truth.longest), [this, id, life = m_life] {
        const auto found = m_running.find(id);
        if (life == m_life && found != m_running.end())
            finish(id, found->second.planned);
    });
}

protocol::Outcome SimBuilder::choose()
{
    if (quirks.isBlackHole)
        return protocol::Outcome::Infrastructure;
    if (m_world.random.chance(quirks.failPercent))
        return protocol::Outcome::Failed;
    if (m_world.random.chance(quirks.infrastructurePercent))
        return protocol::Outcome::Infrastructure;
    if (m_world.random.chance(quirks.transientPercent))
        return protocol::Outcome::Transient;
    return protocol::Outcome::Succeeded;
}

void SimBuilder::carryOut(const builder::StopAttempt& command)
{
    if (!command.atOnce && m_world.random.chance(quirks.ignoresStopPercent)) {
        m_world.reach("builder.ignores_stop");
        return;
    }
    const Duration slowest = command.atOnce ? milliseconds(10) : Duration(seconds(5));
    m_world.after(m_world.random.duration(milliseconds(1), slowest),
                  [this, id = command.attempt, outcome = command.outcome, life = m_life] {
                      if (life == m_life && m_running.contains(id))
                          finish(id, outcome);
                  });
}

void SimBuilder::finish(AttemptId id, protocol::Outcome outcome)
{
    m_world.note("ran", id.value(), static_cast<std::uint64_t>(outcome));
    const Running running = std::move(m_running.extract(id).mapped());
    const StepId step = running.step;
    m_ledger.ended(id, step, outcome);
    protocol::AttemptResult result;
    result.attempt = id;
    result.outcome = outcome;
    result.exitCode = outcome == protocol::Outcome::Failed ? 1 : 0;
    result.stoppedAt = m_world.now().wall;
    result.startedAt = running.started;
    result.cpuUser = (result.stoppedAt - result.startedAt) * running.truth.milliThreads / 1000;
    result.maxRssBytes = running.truth.memoryBytes;
    if (outcome == protocol::Outcome::Succeeded)
        result.outputs = running.outputs;
    m_spool.insert_or_assign(id, builder::RecoveredAttempt{step, result});
    apply(builder::AttemptEnded{std::move(result)});
}

void SimBuilder::carryOut(const builder::ForgetAttempt& command)
{
    m_world.reach(command.dropLog ? "builder.forgets_unwanted" : "builder.forgets_stored");
    m_spool.erase(command.attempt);
}

void SimBuilder::drain(bool draining)
{
    if (m_core)
        apply(builder::DrainAsked{draining, "sim"});
}

void SimBuilder::lie()
{
    if (!quirks.lies || !isLinkUp())
        return;
    m_world.reach("builder.lies");
    const AttemptId about(m_world.random.between(1, 60));
    protocol::AttemptResult result;
    result.attempt = about;
    result.outcome = protocol::Outcome::Succeeded;
    switch (m_world.random.between(0, 4)) {
    case 0: return send(result);
    case 1: return send(protocol::AttemptAnswer{about, true, protocol::RejectReason::Unspecified, {}});
    case 2: return send(protocol::AttemptAnswer{about, false, protocol::RejectReason::Stale, "lie"});
    case 3: {
        protocol::Report report;
        report.appliedRevision = 1'000'000;
        report.held = {{about, false}};
        report.sequence = 1;
        return send(report);
    }
    default: return send(protocol::AttemptProgress{about, "lying", m_world.now().wall});
    }
}

} // namespace penstock::sim
