// SPDX-License-Identifier: GPL-3.0-or-later
// Sends a derivation closure to the server in parts and waits for the job's number. Texts are read as they are sent,
// and parts sent only as fast as the network takes them; a broken connection starts the upload anew, and the job's key keeps it from
// becoming two. One thread; the session must outlive the upload.
#pragma once

#include "client/build/closure.h"
#include "client/follow/monitor_session.h"

#include <functional>
#include <string>
#include <vector>

namespace penstock::client {

// Well below the frame limit of 4 MiB, so that nothing else in a part matters.
inline constexpr std::size_t kMaxPartBytes = 3U << 20U;

// How many derivations go into each part: as many as fit. Exhausted when one alone does not, naming it.
[[nodiscard]] Result<std::vector<std::size_t>> planParts(const Closure& closure, std::size_t limit);

class BuildUpload {
public:
    struct Job {
        Closure closure;
        DerivationReader read;
        std::vector<std::size_t> parts; // from planParts
        std::vector<std::string> roots; // derivation paths
        std::string json;               // with a key
    };
    using Done = std::function<void(Result<monitor::BuildAccepted>)>;

    BuildUpload(MonitorSession& session, Job job, Done done);

    // To be called for each (re)connection, and for each message that is not about jobs.
    void onConnected();
    void onMessage(const monitor::FeedMessage& message);

private:
    void sendMore();
    [[nodiscard]] Result<void> fill(monitor::BuildPart& part);
    void end(Result<monitor::BuildAccepted> accepted);

    MonitorSession& m_session;
    Job m_job;
    Done m_done;
    std::uint64_t m_upload = 0;
    std::size_t m_nextPart = 0;
    std::size_t m_nextDerivation = 0;
    bool m_over = false;
};

} // namespace penstock::client
