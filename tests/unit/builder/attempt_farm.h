// SPDX-License-Identifier: GPL-3.0-or-later
// Attempts with real processes on a host that is connected to a server which says yes to everything.
#pragma once

#include "builder/exec/attempt_host.h"
#include "builder/exec/command_executor.h"
#include "builder/exec/descendants.h"
#include "builder/spool/work_directory.h"
#include "shared/base/queue.h"
#include "shared/base/std_loop.h"
#include "tests/support/temp_directory.h"

#include <future>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace penstock::builder {

struct SilentLogger final : Logger {
    void log(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
};

// A host that is always connected to a server which confirms every chunk at once.
class Farm {
public:
    explicit Farm(bool confirm = true) : m_confirm(confirm)
    {
        becomeSubreaper();
        onLoop([this] {
            auto directory = WorkDirectory::open(m_temp.path() + "/w");
            m_directory.emplace(*std::move(directory));
            auto journal = Journal::open(m_directory->journalPath(), "boot");
            m_host = std::make_unique<AttemptHost>(
                m_loop, m_cleaner, *std::move(journal), m_logger,
                HostSettings{"wheel", m_directory->attemptsPath(), m_directory->logsPath()}, events());
            m_host->addExecutor(std::make_unique<CommandExecutor>(m_loop));
            m_host->linkUp();
        });
    }
    ~Farm()
    {
        onLoop([this] { m_host.reset(); });
        drainCleaner(); // before the loop that it posts to
    }
    Farm(const Farm&) = delete;
    Farm& operator=(const Farm&) = delete;

    void onLoop(Task task)
    {
        std::promise<void> done;
        m_loop.post([&] {
            task();
            done.set_value();
        });
        done.get_future().wait();
    }
    void start(std::vector<std::string> argv, protocol::Limits limits = {}, std::map<std::string, std::string> env = {})
    {
        protocol::Assignment assignment;
        assignment.attempt = AttemptId(m_next);
        assignment.step = StepId(m_next++);
        assignment.job = JobId(77);
        assignment.cpus = 3;
        assignment.limits = limits;
        assignment.memoryBytes = m_memory;
        assignment.resources = m_granted;
        assignment.work = protocol::CommandWork{std::move(argv), std::move(env)};
        onLoop([&] { m_host->start(assignment); });
    }
    void grant(std::uint64_t memory, std::map<std::string, std::uint64_t> named)
    {
        m_memory = memory;
        m_granted = std::move(named);
    }
    void startShell(const std::string& script, protocol::Limits limits = {})
    {
        start({"/bin/sh", "-c", script}, limits);
    }
    protocol::AttemptResult result()
    {
        auto result = m_results.takeOne();
        onLoop([this] { m_host->linkUp(); }); // flushes what is left of the log
        return *result;
    }
    protocol::AttemptResult run(const std::string& script, protocol::Limits limits = {})
    {
        startShell(script, limits);
        return result();
    }
    void stop(std::uint64_t attempt, bool atOnce)
    {
        onLoop([&] { m_host->stop(AttemptId(attempt), protocol::Outcome::Cancelled, "cancelled by a test", atOnce); });
    }
    std::string text(protocol::Stream stream)
    {
        std::string all;
        onLoop([&] { all = m_text[stream]; });
        return all;
    }
    // Until the output holds it; bounded by the test's time limit.
    void awaitOutput(const std::string& word)
    {
        while (text(protocol::Stream::Out).find(word) == std::string::npos)
            std::this_thread::yield();
    }
    std::vector<protocol::AttemptProgress> phases()
    {
        std::vector<protocol::AttemptProgress> all;
        onLoop([&] { all = m_phases; });
        return all;
    }
    void drainCleaner()
    {
        std::promise<void> done;
        m_cleaner.post([&] { done.set_value(); });
        done.get_future().wait();
    }
    [[nodiscard]] const WorkDirectory& directory() const { return *m_directory; }
    [[nodiscard]] AttemptHost& host() { return *m_host; }
    [[nodiscard]] std::size_t leftovers() const
    {
        std::size_t count = 0;
        killMatching([&](const ProcessFacts& facts) {
            count += carriesFolder(facts.pid, m_directory->attemptsPath()) ? 1U : 0U;
            return false;
        });
        return count;
    }

private:
    HostEvents events()
    {
        return {[this](protocol::AttemptResult result) { ASSERT_TRUE(m_results.push(std::move(result))); },
                [this](protocol::AttemptProgress progress) { m_phases.push_back(std::move(progress)); },
                [this](protocol::LogChunk chunk) {
                    std::uint64_t offset = chunk.offset;
                    for (const protocol::LogRecord& record : chunk.records) {
                        if (offset == m_received) {
                            m_text[record.stream] += record.data;
                            m_received += record.data.size();
                        }
                        offset += record.data.size();
                    }
                    if (m_confirm)
                        m_loop.post([this, stored = protocol::LogStored{chunk.attempt, offset, false}] {
                            if (m_host)
                                m_host->logStored(stored);
                        });
                },
                [](bool) {}};
    }

    bool m_confirm;
    test::TempDirectory m_temp;
    SilentLogger m_logger;
    std::uint64_t m_next = 1;
    std::uint64_t m_memory = 0;
    std::map<std::string, std::uint64_t> m_granted;
    std::uint64_t m_received = 0; // of one attempt's log; tests that look at texts run one
    std::map<protocol::Stream, std::string> m_text;
    std::vector<protocol::AttemptProgress> m_phases;
    BoundedQueue<protocol::AttemptResult> m_results{10'000};
    StdLoop m_cleaner{"cleaner"};
    ExecLoop m_loop{"exec"};
    std::optional<WorkDirectory> m_directory;
    std::unique_ptr<AttemptHost> m_host; // lives on m_loop
};

} // namespace penstock::builder
