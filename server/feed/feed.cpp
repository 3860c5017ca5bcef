// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/feed/feed.h"

#include "server/feed/detail/client.h"

#include <map>
#include <set>
#include <utility>

namespace penstock::feed {
namespace {

constexpr std::chrono::seconds kClientTick{1};

} // namespace

class Feed::Impl final : public std::enable_shared_from_this<Feed::Impl>, private FarmSink {
public:
    Impl(Loop& loop, const Clock& clock, Logger& logger, FeedSource& source, FeedOptions options)
        : m_options(std::move(options)), m_farm(clock, source, m_options, *this),
          m_environment{loop, clock, logger, source, m_options, m_counters, m_farm, m_jobs, m_steps, m_attempts}
    {
    }

    // After construction, as it needs a shared owner.
    void start() { armTick(); }

    std::uint64_t connected(std::unique_ptr<FeedPeer> peer, std::string user)
    {
        const auto number = ++m_lastClient;
        auto client = std::make_unique<Client>(m_environment, number, std::move(peer), std::move(user));
        if (m_clients.size() >= m_options.maxConnections) {
            ++m_counters.refused;
            client->close("overloaded", "too many monitors and clients are connected; try again later");
        } else {
            ++m_counters.accepted;
        }
        m_clients.emplace(number, std::move(client));
        return number;
    }

    Client* find(std::uint64_t number)
    {
        const auto found = m_clients.find(number);
        return found == m_clients.end() ? nullptr : found->second.get();
    }

    void disconnected(std::uint64_t number)
    {
        // This may come out of a call to one of the clients, or while they are gone through: a socket that is closed
        // says so at once. So nothing is taken away before the next turn.
        auto* client = find(number);
        if (client == nullptr)
            return;
        client->peerLeft();
        m_environment.loop.post([weak = weak_from_this(), number] {
            if (const auto self = weak.lock())
                self->m_clients.erase(number);
        });
    }

    void changed(std::span<const JobId> jobs, std::span<const StepId> steps, std::span<const MachineId> machines)
    {
        if (m_clients.empty())
            return;
        m_farm.mark(jobs, machines);
        if (!steps.empty()) {
            for (auto& [number, client] : m_clients)
                client->onAnyStepChanged();
        }
        // First all is marked, then each watch looks once.
        std::set<WatchKey> affected;
        for (const auto id : steps) {
            for (const auto key : m_steps.of(id)) {
                if (auto* client = find(key.client); client != nullptr)
                    client->markStep(key.watch, id);
                affected.insert(key);
            }
        }
        for (const auto id : jobs) {
            for (const auto key : m_jobs.of(id)) {
                if (auto* client = find(key.client); client != nullptr)
                    client->markJob(key.watch);
                affected.insert(key);
            }
        }
        for (const auto key : affected) {
            if (auto* client = find(key.client); client != nullptr)
                client->pumpJob(key.watch);
        }
    }

    void logGrew(AttemptId attempt)
    {
        for (const auto key : m_attempts.of(attempt)) {
            if (auto* client = find(key.client); client != nullptr)
                client->onLogGrew(key.watch, attempt);
        }
    }

    void stop(std::string_view text)
    {
        for (auto& [number, client] : m_clients)
            client->close("stopping", text);
    }

    [[nodiscard]] FeedCounters counters() const
    {
        auto counters = m_counters;
        counters.connections = m_clients.size();
        for (const auto& [number, client] : m_clients)
            counters.watches += client->watches();
        return counters;
    }

private:
    void onFarmStart() override
    {
        for (auto& [number, client] : m_clients)
            client->onFarmStart();
    }

    void onFarmDelta(const std::string& delta) override
    {
        ++m_counters.deltas;
        for (auto& [number, client] : m_clients)
            client->onFarmDelta(delta);
    }

    void armTick()
    {
        m_environment.loop.postAt(m_environment.clock.now().mono + m_options.period, [weak = weak_from_this()] {
            if (const auto self = weak.lock())
                self->tick();
        });
    }

    void tick()
    {
        armTick();
        bool watched = false;
        for (const auto& [number, client] : m_clients)
            watched = watched || client->watchesFarm();
        m_farm.setWatched(watched);
        m_farm.tick();
        const auto now = m_environment.clock.now().mono;
        if (now - m_lastClientTick < kClientTick)
            return;
        m_lastClientTick = now;
        for (auto& [number, client] : m_clients)
            client->tick();
    }

    FeedOptions m_options;
    FeedCounters m_counters;
    FarmPublisher m_farm;
    WatchIndex<JobId> m_jobs;
    WatchIndex<StepId> m_steps;
    WatchIndex<AttemptId> m_attempts;
    ClientEnvironment m_environment;
    std::uint64_t m_lastClient = 0;
    Instant m_lastClientTick;
    std::map<std::uint64_t, std::unique_ptr<Client>> m_clients; // last: they use what stands above
};

Feed::Feed(Loop& loop, const Clock& clock, Logger& logger, FeedSource& source, FeedOptions options)
    : m_impl(std::make_shared<Impl>(loop, clock, logger, source, std::move(options)))
{
    m_impl->start();
}

Feed::~Feed() = default;

std::uint64_t Feed::connected(std::unique_ptr<FeedPeer> peer, std::string user)
{
    return m_impl->connected(std::move(peer), std::move(user));
}

void Feed::received(std::uint64_t peer, std::string_view message)
{
    if (auto* client = m_impl->find(peer); client != nullptr)
        client->received(message);
}

void Feed::drained(std::uint64_t peer)
{
    if (auto* client = m_impl->find(peer); client != nullptr)
        client->drained();
}

void Feed::disconnected(std::uint64_t peer)
{
    m_impl->disconnected(peer);
}

void Feed::changed(std::span<const JobId> jobs, std::span<const StepId> steps, std::span<const MachineId> machines)
{
    m_impl->changed(jobs, steps, machines);
}

void Feed::logGrew(AttemptId attempt, std::uint64_t, bool)
{
    m_impl->logGrew(attempt);
}

void Feed::stop(std::string_view text)
{
    m_impl->stop(text);
}

FeedCounters Feed::counters() const
{
    return m_impl->counters();
}

} // namespace penstock::feed
