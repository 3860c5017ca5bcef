// SPDX-License-Identifier: GPL-3.0-or-later
// BuilderApp: composition root of the builder. Two loops matter: main (core and link, Qt) and exec (processes, journal,
// logs); a third may block (removing trees, syncing, probing nix). Build, use and destroy it on the main thread.
#pragma once

#include "builder/app/builder_options.h"
#include "builder/app/guardian.h"
#include "builder/app/machine_facts.h"
#include "builder/core/builder_core.h"
#include "builder/core/load_watch.h"
#include "builder/exec/attempt_host.h"
#include "builder/exec/nix_attempt.h"
#include "builder/link/server_link.h"
#include "builder/probe/machine_probe.h"
#include "shared/base/latest.h"
#include "shared/base/log.h"
#include "shared/base/std_loop.h"
#include "shared/qt/qt_loop.h"

#include <functional>
#include <memory>
#include <string>

namespace penstock::builder {

class BuilderApp {
public:
    // Conflict, Denied, Unavailable: the work directory. Invalid: no executor works here.
    // finished: called once, when all is ended after drain() or abort().
    [[nodiscard]] static Result<std::unique_ptr<BuilderApp>> start(BuilderOptions options, Logger& logger,
                                                                   std::function<void()> finished);
    ~BuilderApp();
    BuilderApp(const BuilderApp&) = delete;
    BuilderApp& operator=(const BuilderApp&) = delete;

    // Takes nothing new, finishes what runs within the drain time, delivers, ends.
    void drain();
    // Ends everything now.
    void abort();
    // Reads probes again and tells the server what changed.
    void reload();
    [[nodiscard]] std::string describe() const; // one line for the service manager

private:
    BuilderApp(BuilderOptions options, WorkDirectory directory, Guardian guardian, GatheredFacts facts,
               std::vector<RecoveredAttempt> recovered, Logger& logger, std::function<void()> finished,
               std::string instance);
    [[nodiscard]] Result<void> buildHost(Journal journal);
    [[nodiscard]] Result<NixMachine> nixMachine() const;
    [[nodiscard]] HostEvents hostEvents();
    [[nodiscard]] LinkEvents linkEvents();
    [[nodiscard]] protocol::Hello hello() const;
    [[nodiscard]] protocol::Report report();

    void push(CoreEvent event);
    void applyInbox();
    void carryOut(CoreCommand command);
    void onServerMessage(protocol::ServerMessage message);
    [[nodiscard]] protocol::LoadSample sampleLoad();
    void watchLoad();
    void lookAtLoad();
    void onDrained(std::size_t unsent);
    void leave(const std::string& why);
    // Runs on the exec loop with the host.
    void onHost(std::function<void(AttemptHost&)> work);

    BuilderOptions m_options;
    WorkDirectory m_directory;
    Guardian m_guardian;
    Logger& m_logger;
    std::function<void()> m_finished;
    std::string m_instance;
    SystemClock m_clock;
    std::shared_ptr<Latest<std::string>> m_serverUrl; // of the link, for the threads that move store paths
    std::optional<nixdaemon::NixFacts> m_nix;
    qt::QtLoop m_loop;
    BuilderCore m_core;
    MachineProbe m_probe;
    std::vector<CoreEvent> m_inbox;
    bool m_applyPosted = false;
    bool m_logsFlow = false; // on this connection
    bool m_spoolFull = false;
    bool m_aborting = false;
    bool m_left = false;
    std::string m_shortage;
    LoadWatch m_watch;
    bool m_lookArmed = false;
    StdLoop m_cleaner;
    ExecLoop m_exec;
    std::unique_ptr<AttemptHost> m_host; // lives on m_exec
    ServerLink m_link;
};

} // namespace penstock::builder
