// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/state.h"

#include "server/work/results.h"

#include <cstddef>

namespace penstock::work {
namespace {

// Indexed by the enumerator's value.
constexpr std::array<std::string_view, 5> kStepStates{"blocked", "ready", "delayed", "running", "finished"};
constexpr std::array<std::string_view, 12> kStepResults{
    "succeeded", "cached",       "failed",            "dependency_failed", "timed_out",   "silent_timed_out",
    "log_limit", "output_limit", "not_deterministic", "cancelled",         "unsupported", "aborted"};
constexpr std::array<std::string_view, 3> kAttemptStates{"assigned", "running", "ended"};
constexpr std::array<std::string_view, 13> kAttemptEnds{
    "succeeded",    "cached",            "failed",    "timed_out", "silent_timed_out", "log_limit",
    "output_limit", "not_deterministic", "transient", "cancelled", "infrastructure",   "rejected",
    "lost"};
constexpr std::array<std::string_view, 5> kJobStates{"queued", "running", "succeeded", "failed", "cancelled"};

template <class Enum, std::size_t N>
std::optional<Enum> find(const std::array<std::string_view, N>& words, std::string_view word)
{
    for (std::size_t i = 0; i < N; ++i)
        if (words[i] == word)
            return static_cast<Enum>(i);
    return std::nullopt;
}

} // namespace

std::string_view toString(StepState state)
{
    return kStepStates[static_cast<std::size_t>(state)];
}
std::string_view toString(StepResult result)
{
    return kStepResults[static_cast<std::size_t>(result)];
}
std::string_view toString(AttemptState state)
{
    return kAttemptStates[static_cast<std::size_t>(state)];
}
std::string_view toString(ProductKind kind)
{
    switch (kind) {
    case ProductKind::Unknown: break;
    case ProductKind::File: return "file";
    case ProductKind::Directory: return "directory";
    case ProductKind::Symlink: return "symlink";
    }
    return "unknown";
}

std::string_view toString(AttemptEnd end)
{
    return kAttemptEnds[static_cast<std::size_t>(end)];
}
std::string_view toString(JobState state)
{
    return kJobStates[static_cast<std::size_t>(state)];
}
std::optional<StepState> parseStepState(std::string_view word)
{
    return find<StepState>(kStepStates, word);
}
std::optional<StepResult> parseStepResult(std::string_view word)
{
    return find<StepResult>(kStepResults, word);
}
std::optional<AttemptState> parseAttemptState(std::string_view word)
{
    return find<AttemptState>(kAttemptStates, word);
}
std::optional<AttemptEnd> parseAttemptEnd(std::string_view word)
{
    return find<AttemptEnd>(kAttemptEnds, word);
}
std::optional<JobState> parseJobState(std::string_view word)
{
    return find<JobState>(kJobStates, word);
}

} // namespace penstock::work
