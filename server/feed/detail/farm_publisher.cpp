// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/feed/detail/farm_publisher.h"

#include "server/feed/detail/wire.h"
#include "shared/protocol/frame.h"

namespace penstock::feed {
namespace {

constexpr std::size_t kMaxMarked = 4'000;
constexpr std::size_t kMaxRingBytes = 16U << 20U;
// A monitor that was away this long finds the numbering where it left it.
constexpr std::chrono::seconds kKeepWarm{60};
// Room for the watch, the time and the field headers around a delta.
constexpr std::size_t kMaxBodyBytes = protocol::kMaxFrameBytes - 256;

// Of very many machines less is told, so that all of them are told: first not what each runs, then not the details of
// its room. False: still too large.
template <class Message> bool thin(Message& message)
{
    if (message.ByteSizeLong() <= kMaxBodyBytes)
        return true;
    for (auto& machine : *message.mutable_machines())
        machine.clear_running();
    if (message.ByteSizeLong() <= kMaxBodyBytes)
        return true;
    for (auto& machine : *message.mutable_machines()) {
        if (machine.has_room()) {
            machine.mutable_room()->clear_closed();
            machine.mutable_room()->clear_named();
            machine.mutable_room()->clear_crossed();
        }
        machine.clear_tags();
        machine.clear_executors();
    }
    return message.ByteSizeLong() <= kMaxBodyBytes;
}

void fit(monitor::FarmSnapshot& snapshot)
{
    if (thin(snapshot))
        return;
    while (snapshot.ByteSizeLong() > kMaxBodyBytes && snapshot.machines_size() > 0)
        snapshot.mutable_machines()->DeleteSubrange(snapshot.machines_size() / 2,
                                                    snapshot.machines_size() - snapshot.machines_size() / 2);
}

template <class Id> bool remember(std::set<Id>& marked, std::span<const Id> ids)
{
    for (const auto id : ids) {
        if (marked.size() >= kMaxMarked)
            return false;
        marked.insert(id);
    }
    return true;
}

} // namespace

FarmPublisher::FarmPublisher(const Clock& clock, FeedSource& source, const FeedOptions& options, FarmSink& sink)
    : m_clock(clock), m_source(source), m_options(options), m_sink(sink), m_ring(options.maxKeptDeltas, kMaxRingBytes)
{
}

void FarmPublisher::setWatched(bool watched)
{
    if (m_watched && !watched)
        m_lastWatched = m_clock.now().mono;
    m_watched = watched;
    if (watched && m_state == State::Cold) {
        m_state = State::Warming;
        ask();
    }
}

void FarmPublisher::mark(std::span<const JobId> jobs, std::span<const MachineId> machines)
{
    if (m_state == State::Cold)
        return;
    m_tooManyJobs = !remember(m_jobs, jobs) || m_tooManyJobs;
    m_tooManyMachines = !remember(m_machines, machines) || m_tooManyMachines;
}

void FarmPublisher::tick()
{
    if (m_state == State::Cold)
        return;
    if (!m_watched && m_clock.now().mono - m_lastWatched > kKeepWarm) {
        m_state = State::Cold;
        m_mirror = {};
        m_ring.clear();
        m_jobs.clear();
        m_machines.clear();
        return;
    }
    if (!m_asking)
        ask();
}

FarmRequest FarmPublisher::takeRequest(Instant now)
{
    FarmRequest request;
    const bool first = m_state == State::Warming;
    request.newestJobs = first || m_tooManyJobs || m_mirror.lacksJobs();
    request.allMachines = first || m_tooManyMachines || now - m_lastMachines >= m_options.machinePeriod;
    if (request.allMachines)
        m_lastMachines = now;
    // What groups have used grows all the time: told as often as loads are.
    request.shares = first || now - m_lastShares >= m_options.machinePeriod;
    if (request.shares)
        m_lastShares = now;
    if (!request.allMachines)
        request.machines.assign(m_machines.begin(), m_machines.end());
    request.jobs.assign(m_jobs.begin(), m_jobs.end());
    m_jobs.clear();
    m_machines.clear();
    m_tooManyJobs = false;
    m_tooManyMachines = false;
    return request;
}

void FarmPublisher::ask()
{
    m_asking = true;
    auto request = takeRequest(m_clock.now().mono);
    auto asked = request;
    m_source.farm(std::move(request),
                  [this, alive = std::weak_ptr(m_alive), asked = std::move(asked)](Result<FarmRecords> records) {
                      if (alive.lock())
                          answered(asked, std::move(records));
                  });
}

void FarmPublisher::answered(const FarmRequest& request, Result<FarmRecords> records)
{
    m_asking = false;
    if (m_state == State::Cold)
        return;
    if (!records) {
        // Asked again next period; those who watch still hear that we are here.
        mark(request.jobs, request.machines);
        m_tooManyJobs = m_tooManyJobs || request.newestJobs;
        m_tooManyMachines = m_tooManyMachines || request.allMachines;
        m_lastShares = request.shares ? Instant{} : m_lastShares;
        if (m_state == State::Warm)
            publish({});
        return;
    }
    const auto change = m_mirror.apply(request, *std::move(records));
    if (m_state == State::Warm)
        return publish(change);
    m_state = State::Warm;
    m_sink.onFarmStart();
}

void FarmPublisher::publish(const FarmChange& change)
{
    monitor::FarmDelta delta;
    delta.set_number(m_ring.last() + 1);
    wire::write(*delta.mutable_totals(), m_mirror.totals());
    for (const auto& queue : change.queues)
        wire::write(*delta.add_queues(), queue);
    for (const auto& key : change.removedQueues)
        delta.add_removed_queues(key);
    for (const auto& machine : change.machines)
        wire::write(*delta.add_machines(), machine);
    for (const auto id : change.removedMachines)
        delta.add_removed_machines(id.value());
    for (const auto& job : change.jobs)
        wire::write(*delta.add_jobs(), job);
    for (const auto id : change.removedJobs)
        delta.add_removed_jobs(id.value());
    for (const auto& share : change.shares)
        wire::write(*delta.add_shares(), share);
    for (const auto& group : change.removedShares)
        delta.add_removed_shares(wire::utf8(group));
    if (!thin(delta)) {
        // Too much at once for one frame: everybody starts anew from a snapshot, which is cut to fit.
        m_ring.push({});
        m_ring.clear();
        return m_sink.onFarmStart();
    }
    const auto body = delta.SerializeAsString();
    m_ring.push(body);
    m_sink.onFarmDelta(body);
}

std::string FarmPublisher::snapshotFrame(std::uint64_t watch) const
{
    monitor::FeedMessage message;
    auto& snapshot = *message.mutable_snapshot();
    snapshot.set_watch(watch);
    snapshot.set_stream(m_options.stream);
    snapshot.set_number(m_ring.last());
    wire::write(*snapshot.mutable_totals(), m_mirror.totals());
    for (const auto& [key, queue] : m_mirror.queues())
        wire::write(*snapshot.add_queues(), queue);
    for (const auto& [id, machine] : m_mirror.machines())
        wire::write(*snapshot.add_machines(), machine);
    for (auto at = m_mirror.jobs().rbegin(); at != m_mirror.jobs().rend(); ++at)
        wire::write(*snapshot.add_jobs(), at->second);
    for (const auto& [group, share] : m_mirror.shares())
        wire::write(*snapshot.add_shares(), share);
    fit(snapshot);
    return wire::frame(message, m_clock.now());
}

std::string FarmPublisher::resumedFrame(std::uint64_t watch, std::uint64_t number) const
{
    monitor::FeedMessage message;
    auto& snapshot = *message.mutable_snapshot();
    snapshot.set_watch(watch);
    snapshot.set_stream(m_options.stream);
    snapshot.set_number(number);
    snapshot.set_resumed(true);
    return wire::frame(message, m_clock.now());
}

} // namespace penstock::feed
