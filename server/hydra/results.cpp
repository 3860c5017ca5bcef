// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/results.h"

#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <limits>

namespace penstock::hydra {

Status statusOf(work::AttemptEnd end)
{
    switch (end) {
    case work::AttemptEnd::Succeeded:
    case work::AttemptEnd::Cached: return Status::Succeeded;
    case work::AttemptEnd::Failed: return Status::Failed;
    case work::AttemptEnd::TimedOut:
    case work::AttemptEnd::SilentTimedOut: return Status::TimedOut;
    case work::AttemptEnd::LogLimit: return Status::LogLimit;
    case work::AttemptEnd::OutputLimit: return Status::OutputLimit;
    case work::AttemptEnd::NotDeterministic: return Status::NotDeterministic;
    case work::AttemptEnd::Cancelled: return Status::Cancelled;
    case work::AttemptEnd::Transient:
    case work::AttemptEnd::Infrastructure:
    case work::AttemptEnd::Rejected:
    case work::AttemptEnd::Lost: return Status::Aborted;
    }
    return Status::Aborted;
}

Status statusOf(work::StepResult result)
{
    switch (result) {
    case work::StepResult::Succeeded:
    case work::StepResult::Cached: return Status::Succeeded;
    case work::StepResult::Failed: return Status::Failed;
    case work::StepResult::TimedOut:
    case work::StepResult::SilentTimedOut: return Status::TimedOut;
    case work::StepResult::LogLimit: return Status::LogLimit;
    case work::StepResult::OutputLimit: return Status::OutputLimit;
    case work::StepResult::NotDeterministic: return Status::NotDeterministic;
    case work::StepResult::Cancelled: return Status::Cancelled;
    case work::StepResult::Unsupported: return Status::Unsupported;
    case work::StepResult::DependencyFailed: // of a step whose cause nobody knows any more
    case work::StepResult::Aborted: return Status::Aborted;
    }
    return Status::Aborted;
}

Status buildStatusOf(Status step, bool isOwn)
{
    if (step == Status::CachedFailure)
        step = Status::Failed;
    return step == Status::Failed && !isOwn ? Status::DependencyFailed : step;
}

bool isCacheable(Status step)
{
    return step == Status::Failed || step == Status::NotDeterministic;
}

std::string shownText(std::string_view bytes)
{
    std::string text = toValidUtf8(bytes);
    std::erase(text, '\0');
    return text;
}

std::optional<std::string> errorTextOf(Status step, std::string_view error)
{
    const bool isKept = step == Status::Failed || step == Status::Aborted || step == Status::Unsupported;
    std::string text = isKept ? shownText(error) : std::string();
    return text.empty() ? std::nullopt : std::optional(std::move(text));
}

std::string unsupportedText(std::string_view system, const std::vector<std::string>& features)
{
    return fmt::format("unsupported system type '{}{}{}'", system, features.empty() ? "" : ":", join(features, ","));
}

std::optional<std::int32_t> secondsOf(std::optional<WallTime> at)
{
    if (!at)
        return std::nullopt;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(at->sinceEpoch).count();
    if (seconds <= 0 || seconds > std::numeric_limits<std::int32_t>::max())
        return std::nullopt;
    return static_cast<std::int32_t>(seconds);
}

std::string logPathOf(std::string_view dataDir, std::string_view drvPath)
{
    const std::string_view base = drvPath.substr(drvPath.rfind('/') + 1); // npos + 1 is the beginning
    const std::size_t cut = std::min<std::size_t>(2, base.size());
    return fmt::format("{}/build-logs/{}/{}", dataDir, base.substr(0, cut), base.substr(cut));
}

std::string logFieldOf(std::string path, bool isThere)
{
    const bool canBeTold = path.starts_with('/') && path.find('\t') == std::string::npos && path.size() < kMaxPayload;
    return isThere && canBeTold ? std::move(path) : std::string("-");
}

std::vector<std::string> finishedPayloads(std::int32_t head, const std::vector<std::int32_t>& marked)
{
    std::vector<std::string> payloads{std::to_string(head)};
    const std::size_t headSize = payloads.front().size();
    for (const std::int32_t build : marked) {
        const std::string id = std::to_string(build);
        if (payloads.back().size() + 1 + id.size() >= kMaxPayload)
            payloads.push_back(payloads.front().substr(0, headSize));
        payloads.back() += '\t';
        payloads.back() += id;
    }
    return payloads;
}

std::string productName(std::string_view name)
{
    const auto isUsual = [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               std::string_view(".@:_ +-").find(c) != std::string_view::npos;
    };
    return std::ranges::all_of(name, isUsual) ? std::string(name) : std::string();
}

} // namespace penstock::hydra
