// SPDX-License-Identifier: GPL-3.0-or-later
// Runs a command in a session of its own with a clean environment. The attempt ends with its main process: whoever
// of its descendants still holds the output open gets a moment to finish writing and is then killed.
// Lives on the exec loop. Failures to start become an exit: 127 not found, 126 not executable (as shells say it),
// Infrastructure when the machine is short of something.
#pragma once

#include "builder/exec/exec_loop.h"
#include "builder/exec/executor.h"

#include <set>
#include <sys/types.h>

namespace penstock::builder {

// How long output of descendants is waited for after the main process has ended.
inline constexpr std::chrono::milliseconds kLinger{250};
// How long a killed descendant's end of the pipe may stay open before it is given up.
inline constexpr std::chrono::milliseconds kPipeGiveUp{1'000};

class CommandExecutor final : public Executor {
public:
    explicit CommandExecutor(ExecLoop& loop) : m_loop(loop) {}

    [[nodiscard]] std::string_view name() const override { return "command"; }
    [[nodiscard]] std::unique_ptr<Running> start(const AttemptSpec& spec, AttemptSink& sink) override;

private:
    ExecLoop& m_loop;
    std::set<pid_t> m_mains; // main processes of running attempts; outlives every Running
};

// NAME=value for the job. What the job's own env says wins, except for PENSTOCK_*. Pure.
[[nodiscard]] std::vector<std::string> commandEnvironment(const AttemptSpec& spec);
// "big-parallel" is PENSTOCK_RESOURCE_BIG_PARALLEL: upper case, all but letters and digits '_'. Of two names that
// become the same the first in order is shown. Pure.
[[nodiscard]] std::string resourceVariable(std::string_view name);
// The value of NAME in such a list, or empty. Pure.
[[nodiscard]] std::string environmentValue(const std::vector<std::string>& environment, std::string_view name);

} // namespace penstock::builder
