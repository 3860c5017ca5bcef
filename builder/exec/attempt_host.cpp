// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/attempt_host.h"

#include "builder/exec/attempt_folder.h"

#include <ctime>
#include <fmt/format.h>
#include <unistd.h>

namespace penstock::builder {
namespace {

constexpr std::chrono::milliseconds kSyncEvery{1'000};
constexpr std::chrono::seconds kResendEvery{5}; // beside a server that is slow, not full: long enough
constexpr std::chrono::milliseconds kKeepFolders{1'000};

Duration sinceBoot()
{
    timespec time = {};
    ::clock_gettime(CLOCK_BOOTTIME, &time);
    return std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec / 1000);
}

} // namespace

AttemptHost::AttemptHost(ExecLoop& loop, Loop& cleaner, Journal journal, Logger& logger,
                         HostSettings settings, HostEvents events)
    : m_loop(loop),
      m_cleaner(cleaner),
      m_journal(std::move(journal)),
      m_logger(logger),
      m_settings(std::move(settings)),
      m_events(std::move(events)),
      m_folders(m_settings.attemptsPath)
{}

AttemptHost::~AttemptHost()
{
    m_folders.removeKept();
}

void AttemptHost::addExecutor(std::unique_ptr<Executor> executor)
{
    m_executors.push_back(std::move(executor));
}

AttemptHost::Entry& AttemptHost::addEntry(AttemptId attempt)
{
    Entry& entry = m_entries[attempt];
    entry.log = std::make_unique<LogPump>(
        attempt, fmt::format("{}/{}.log", m_settings.logsPath, attempt.value()), m_budget, m_events.chunk);
    if (m_linkUp)
        entry.log->linkUp();
    return entry;
}

void AttemptHost::adoptLogs()
{
    m_loop.checkHere();
    std::vector<AttemptId> done;
    for (const auto& [attempt, stored] : m_journal.entries()) {
        Entry& entry = addEntry(attempt);
        entry.resultDone = stored.resultStored;
        const auto opened = entry.log->reopen();
        note("log.unreadable", attempt, opened);
        m_undelivered += entry.log->onDisk() ? 1U : 0U;
        if (entry.resultDone)
            done.push_back(attempt);
    }
    for (const AttemptId attempt : done)
        closeWhenDone(m_entries.find(attempt));
    reviewSpool();
}

Executor* AttemptHost::executorFor(const protocol::Assignment& assignment)
{
    const std::string_view wanted =
        std::holds_alternative<protocol::NixWork>(assignment.work) ? "nix" : "command";
    for (const auto& executor : m_executors) {
        if (executor->name() == wanted)
            return executor.get();
    }
    return nullptr;
}

RunnerEvents AttemptHost::runnerEvents(AttemptId attempt)
{
    return {
        [this, attempt](protocol::AttemptResult result) { onEnded(attempt, std::move(result)); },
        [this](protocol::AttemptProgress progress) { m_events.moved(std::move(progress)); },
        [this, attempt] { schedulePump(attempt); },
    };
}

void AttemptHost::start(protocol::Assignment assignment)
{
    m_loop.checkHere();
    const AttemptId attempt = assignment.attempt;
    const StepId step = assignment.step;
    if (m_entries.contains(attempt))
        return;
    Executor* const executor = executorFor(assignment);
    Entry& entry = addEntry(attempt);
    auto folder = executor == nullptr
                      ? Result<AttemptFolder>(fail(ErrorCode::NotFound, "the executor is not available here"))
                      : m_folders.take();
    if (folder)
        entry.folder = *folder;
    entry.runner = std::make_unique<AttemptRunner>(
        m_loop, m_cleaner,
        AttemptSpec{std::move(assignment), m_settings.machineName, entry.folder.path, entry.folder.temporary},
        *entry.log, runnerEvents(attempt));
    AttemptRunner& runner = *entry.runner;
    if (folder)
        runner.start(*executor);
    // With the session, to find what a killed builder left.
    note("journal.unwritable", attempt,
         m_journal.started(attempt, {step, runner.startedAt(), runner.session(), sinceBoot(), {}, false}));
    if (!folder)
        runner.refuse(folder.error().message);
}

void AttemptHost::stop(AttemptId attempt, protocol::Outcome outcome, const std::string& reason, bool atOnce)
{
    m_loop.checkHere();
    const auto found = m_entries.find(attempt);
    if (found != m_entries.end() && found->second.runner)
        found->second.runner->stop(outcome, reason, atOnce);
}

void AttemptHost::onEnded(AttemptId attempt, protocol::AttemptResult result)
{
    note("journal.unwritable", attempt, m_journal.finished(result));
    requestSync();
    Entry& entry = m_entries.at(attempt);
    // The runner is on the stack below; it goes at the next turn.
    m_loop.post([runner = std::shared_ptr<AttemptRunner>(std::move(entry.runner))] {});
    if (entry.log->onDisk())
        ++m_undelivered;
    pump(attempt);
    releaseFolder(std::exchange(entry.folder, {}));
    m_events.ended(std::move(result));
    reviewSpool();
}

void AttemptHost::releaseFolder(AttemptFolder folder)
{
    m_lastEnd = SystemClock{}.now().mono;
    if (folder.path.empty())
        return;
    if (m_folders.giveBack(folder))
        return removeKeptFoldersLater();
    m_cleaner.post([folder = std::move(folder), &logger = m_logger] {
        for (const std::string& path : {folder.path, folder.temporary}) {
            if (const auto removed = removeTree(path); !removed)
                logger.warning("attempt.folder_left", {{"path", path}, {"error", removed.error().message}});
        }
    });
}

// They are kept for attempts that follow at once; nothing stays of an idle builder.
void AttemptHost::removeKeptFoldersLater()
{
    if (std::exchange(m_folderTimer, true))
        return;
    m_loop.postAt(m_lastEnd + kKeepFolders, [this, alive = std::weak_ptr<const bool>(m_alive)] {
        if (alive.expired())
            return;
        m_folderTimer = false;
        if (SystemClock{}.now().mono - m_lastEnd >= kKeepFolders)
            m_folders.removeKept();
        else if (m_folders.keepsSome())
            removeKeptFoldersLater();
    });
}

void AttemptHost::forget(AttemptId attempt, bool dropLog)
{
    m_loop.checkHere();
    const auto found = m_entries.find(attempt);
    if (found == m_entries.end() || found->second.runner)
        return;
    found->second.resultDone = true;
    if (dropLog) {
        const protocol::LogStored stop{attempt, 0, true};
        note("log.unreadable", attempt, found->second.log->onStored(stop));
    }
    if (!found->second.log->delivered())
        note("journal.unwritable", attempt, m_journal.resultStored(attempt));
    closeWhenDone(found);
}

void AttemptHost::closeWhenDone(EntryMap::iterator entry)
{
    if (!entry->second.resultDone || entry->second.runner || !entry->second.log->delivered())
        return;
    if (entry->second.log->onDisk()) {
        entry->second.log->remove();
        --m_undelivered;
    }
    note("journal.unwritable", entry->first, m_journal.forgotten(entry->first));
    m_entries.erase(entry);
    reviewSpool();
}

void AttemptHost::linkUp()
{
    m_loop.checkHere();
    m_linkUp = true;
    for (auto& [attempt, entry] : m_entries)
        entry.log->linkUp();
    pumpAll();
    if (!std::exchange(m_resending, true))
        resendLater();
}

void AttemptHost::resendLater()
{
    m_loop.postAt(SystemClock{}.now().mono + kResendEvery,
                  [this, alive = std::weak_ptr<const bool>(m_alive)] {
                      if (alive.expired())
                          return;
                      m_resending = m_linkUp;
                      if (!m_linkUp)
                          return;
                      for (auto& [attempt, entry] : m_entries)
                          note("log.unreadable", attempt, entry.log->resendUnconfirmed());
                      resendLater();
                  });
}

void AttemptHost::linkDown()
{
    m_loop.checkHere();
    m_linkUp = false;
    for (auto& [attempt, entry] : m_entries)
        entry.log->linkDown();
}

void AttemptHost::logStored(const protocol::LogStored& stored)
{
    m_loop.checkHere();
    const auto found = m_entries.find(stored.attempt);
    if (found == m_entries.end())
        return;
    note("log.unreadable", stored.attempt, found->second.log->onStored(stored));
    if (found->second.runner)
        found->second.runner->reviewBackPressure();
    closeWhenDone(found);
    if (std::exchange(m_budget.exhausted, false))
        pumpAll();
}

// Once per turn of the loop, so that many small writes of a job become one chunk.
void AttemptHost::schedulePump(AttemptId attempt)
{
    Entry& entry = m_entries.at(attempt);
    if (std::exchange(entry.pumpPosted, true))
        return;
    m_loop.post([this, attempt, alive = std::weak_ptr<const bool>(m_alive)] {
        if (!alive.expired())
            pump(attempt);
    });
}

void AttemptHost::pump(AttemptId attempt)
{
    const auto found = m_entries.find(attempt);
    if (found == m_entries.end())
        return;
    found->second.pumpPosted = false;
    note("log.unreadable", attempt, found->second.log->pump());
}

void AttemptHost::pumpAll()
{
    for (auto& [attempt, entry] : m_entries)
        note("log.unreadable", attempt, entry.log->pump());
}

void AttemptHost::requestSync()
{
    // With a server at hand a result is with it sooner than a sync ends, and syncing all the time holds up
    // every mkdir and rename of the file system (measured: a quarter of the attempts a second).
    if (m_linkUp || std::exchange(m_syncPosted, true))
        return;
    m_loop.postAt(SystemClock{}.now().mono + kSyncEvery, [this, alive = std::weak_ptr<const bool>(m_alive)] {
        if (alive.expired())
            return;
        m_syncPosted = false;
        m_cleaner.post(
            [file = std::make_shared<FileHandle>(m_journal.handleForSync())] { ::fdatasync(file->get()); });
    });
}

void AttemptHost::whenDelivered(std::function<void()> then)
{
    m_loop.checkHere();
    m_whenDelivered = std::move(then);
    reviewSpool();
}

void AttemptHost::reviewSpool()
{
    if (m_undelivered == 0 && m_whenDelivered)
        std::exchange(m_whenDelivered, nullptr)();
    const bool full = m_undelivered >= kMaxUndeliveredLogs;
    if (std::exchange(m_spoolFull, full) != full)
        m_events.spoolFull(full);
}

void AttemptHost::note(std::string_view event, AttemptId attempt, const Result<void>& outcome)
{
    if (!outcome)
        m_logger.error(event, {{"attempt", attempt.value()}, {"error", outcome.error().message}});
}

} // namespace penstock::builder
