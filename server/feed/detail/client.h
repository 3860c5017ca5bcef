// SPDX-License-Identifier: GPL-3.0-or-later
// Client: one connection of /monitor: its handshake, its watches and its upload. Decodes what it says, bounds what it
// may ask for, and sends what its watches have to say. Lives on the feed's loop; owned by the feed.
#pragma once

#include "server/feed/detail/farm_publisher.h"
#include "server/feed/detail/job_watch.h"
#include "server/feed/detail/log_reader.h"
#include "server/feed/detail/outlet.h"
#include "server/feed/feed.h"
#include "server/jobs/build_spec.h"
#include "shared/protocol/frame.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::feed {

// What all clients of a feed share; outlives them.
struct ClientEnvironment {
    Loop& loop;
    const Clock& clock;
    Logger& logger;
    FeedSource& source;
    const FeedOptions& options;
    FeedCounters& counters;
    FarmPublisher& farm;
    WatchIndex<JobId>& jobs;
    WatchIndex<StepId>& steps;
    WatchIndex<AttemptId>& attempts;
    std::size_t uploadBytes = 0; // held by all clients together
};

class Client final : public Outlet, private protocol::FrameSink {
public:
    Client(ClientEnvironment& environment, std::uint64_t number, std::unique_ptr<FeedPeer> peer, std::string user);
    ~Client() override;
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void received(std::string_view message);
    void drained();
    void tick(); // once a second
    void close(std::string_view code, std::string_view text);
    void peerLeft() { m_closed = true; } // says nothing more; about to be taken away
    [[nodiscard]] bool watchesFarm() const { return !m_closed && !m_farms.empty(); }
    [[nodiscard]] std::size_t watches() const;

    void onFarmStart();
    void onFarmDelta(const std::string& delta);
    void markJob(std::uint64_t watch);
    void markStep(std::uint64_t watch, StepId step);
    void pumpJob(std::uint64_t watch);
    void onAnyStepChanged();
    void onLogGrew(std::uint64_t watch, AttemptId attempt);

    void send(monitor::FeedMessage& message) override;
    [[nodiscard]] bool hasRoom() const override;
    [[nodiscard]] Now now() const override { return m_environment.clock.now(); }
    void endWatch(std::uint64_t watch, std::string_view error) override;

private:
    struct FarmWatch {
        std::string resumeStream;
        std::uint64_t resumeAfter = 0;
        bool started = false;
    };
    struct Upload {
        std::uint64_t number;
        std::optional<jobs::BuildAssembler> assembler; // none: refused, the rest of it is thrown away
        Instant lastPart;
    };

    void onFrame(ByteView payload) override;
    void onHello(const monitor::ClientHello& hello);
    void onWatchFarm(const monitor::WatchFarm& request);
    void onWatchJob(const monitor::WatchJob& request);
    void onWatchLog(const monitor::WatchLog& request);
    void onExplain(const monitor::ExplainRequest& request);
    void onBuildPart(const monitor::BuildPart& part);
    void finishUpload(const monitor::BuildPart& part);
    void unwatch(std::uint64_t watch);
    [[nodiscard]] bool admit(std::uint64_t watch);
    void problem(std::uint64_t watch, const Error& error);
    void startFarm(std::uint64_t watch, FarmWatch& farm);
    void sendFrame(std::string_view frame);
    void watchNewestLog(const monitor::WatchLog& request);
    void dropUpload();

    ClientEnvironment& m_environment;
    std::uint64_t m_number;
    std::unique_ptr<FeedPeer> m_peer;
    std::string m_user;
    protocol::FrameDecoder m_decoder;
    bool m_greeted = false;
    bool m_closed = false;
    bool m_explaining = false; // an answer is awaited from the source
    Instant m_began;
    Instant m_heard;
    LogReader m_logs;
    std::map<std::uint64_t, FarmWatch> m_farms;
    std::map<std::uint64_t, std::unique_ptr<JobWatch>> m_jobs;
    std::map<std::uint64_t, bool> m_logWatches; // true: its log is known
    std::vector<std::unique_ptr<JobWatch>> m_over; // ended, waiting for a turn in which none of them is running
    std::optional<Upload> m_upload;
    std::shared_ptr<bool> m_alive = std::make_shared<bool>(true);
};

} // namespace penstock::feed
