// SPDX-License-Identifier: GPL-3.0-or-later
// AttemptHost: everything about attempts that touches the machine: runs them, keeps journal and logs,
// delivers log chunks, cleans up. It carries out the core's commands and reports back; it decides nothing
// about which attempts shall be here. Lives on the exec loop: build it, call it and destroy it there. Events
// are called on that loop; the app posts them on.
#pragma once

#include "builder/exec/attempt_runner.h"
#include "builder/exec/exec_loop.h"
#include "builder/exec/executor.h"
#include "builder/exec/log_pump.h"
#include "builder/spool/journal.h"
#include "shared/base/log.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace penstock::builder {

// Above this many undelivered logs no new work is taken.
inline constexpr std::size_t kMaxUndeliveredLogs = 2'000;

struct HostEvents {
    std::function<void(protocol::AttemptResult result)> ended;
    std::function<void(protocol::AttemptProgress progress)> moved;
    std::function<void(protocol::LogChunk chunk)> chunk;
    std::function<void(bool full)> spoolFull; // too many undelivered logs, or no longer
};

struct HostSettings {
    std::string machineName;
    std::string attemptsPath;
    std::string logsPath;
};

class AttemptHost {
public:
    // cleaner: a loop that may block (removing trees, syncing). All references outlive the host.
    AttemptHost(ExecLoop& loop, Loop& cleaner, Journal journal, Logger& logger, HostSettings settings,
                HostEvents events);
    AttemptHost(const AttemptHost&) = delete;
    AttemptHost& operator=(const AttemptHost&) = delete;
    ~AttemptHost(); // kills what still runs

    void addExecutor(std::unique_ptr<Executor> executor);
    // Logs that a former run left to deliver.
    void adoptLogs();

    void start(protocol::Assignment assignment);
    void stop(AttemptId attempt, protocol::Outcome outcome, const std::string& reason, bool atOnce);
    // The result need not be kept; dropLog: nor the log.
    void forget(AttemptId attempt, bool dropLog);
    void linkUp();
    void linkDown();
    void logStored(const protocol::LogStored& stored);
    // Calls it once, when no log of an ended attempt waits for the server any more; now, if none does.
    void whenDelivered(std::function<void()> then);

private:
    struct Entry {
        std::unique_ptr<LogPump> log;
        std::unique_ptr<AttemptRunner> runner; // while it runs
        AttemptFolder folder;                  // of the runner; empty paths when it has none
        bool resultDone = false;               // the core has forgotten it; only the log remains
        bool pumpPosted = false;
    };
    using EntryMap = std::map<AttemptId, Entry>;

    Entry& addEntry(AttemptId attempt);
    [[nodiscard]] RunnerEvents runnerEvents(AttemptId attempt);
    [[nodiscard]] Executor* executorFor(const protocol::Assignment& assignment);
    void onEnded(AttemptId attempt, protocol::AttemptResult result);
    void schedulePump(AttemptId attempt);
    void pump(AttemptId attempt);
    void pumpAll();
    void resendLater();
    void closeWhenDone(EntryMap::iterator entry);
    void releaseFolder(AttemptFolder folder);
    void removeKeptFoldersLater();
    void requestSync();
    void reviewSpool();
    // Journal errors do not stop work: they are told once each; the result is still in memory.
    void note(std::string_view event, AttemptId attempt, const Result<void>& outcome);

    ExecLoop& m_loop;
    Loop& m_cleaner;
    Journal m_journal;
    Logger& m_logger;
    HostSettings m_settings;
    HostEvents m_events;
    FolderPool m_folders;
    bool m_folderTimer = false;
    Instant m_lastEnd; // of an attempt
    std::vector<std::unique_ptr<Executor>> m_executors;
    LogBudget m_budget;
    EntryMap m_entries; // after executors and budget: runners and pumps end first
    bool m_linkUp = false;
    bool m_syncPosted = false;
    bool m_spoolFull = false;
    std::size_t m_undelivered = 0; // logs on disk of attempts that have ended
    std::function<void()> m_whenDelivered;
    bool m_resending = false;                                                 // resendLater() is armed
    std::shared_ptr<const bool> m_alive = std::make_shared<const bool>(true); // for posted tasks
};

} // namespace penstock::builder
