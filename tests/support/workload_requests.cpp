// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/workload_requests.h"

#include "shared/base/check.h"

#include <charconv>
#include <fmt/format.h>
#include <memory>
#include <string_view>

namespace penstock::test {
namespace {

constexpr std::string_view kStore = "/nix/store/";
constexpr std::size_t kEvaluationDigits = 12; // and 20 for the step: as long as a store path's hash
constexpr std::size_t kStepDigits = 20;

std::uint32_t number(std::string_view digits)
{
    std::uint32_t value = 0;
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    PENSTOCK_CHECK(end.ec == std::errc());
    return value;
}

} // namespace

std::string derivationPath(const StepPlace& place, const std::string& name)
{
    return fmt::format("{}{:0{}}{:0{}}-{}.drv", kStore, place.evaluation, kEvaluationDigits, place.step,
                       kStepDigits, name);
}

StepPlace placeOf(const std::string& path)
{
    const std::string_view text(path);
    PENSTOCK_CHECK(text.size() > kStore.size() + kEvaluationDigits + kStepDigits);
    return {number(text.substr(kStore.size(), kEvaluationDigits)),
            number(text.substr(kStore.size() + kEvaluationDigits, kStepDigits))};
}

core::JobRequest jobOf(const Evaluation& evaluation, std::uint32_t evaluationNumber)
{
    core::JobRequest job;
    job.spec.name = evaluation.name;
    job.spec.user = "hydra";
    job.spec.shareGroup = evaluation.shareGroup;
    job.steps.reserve(evaluation.steps.size());
    for (std::uint32_t i = 0; i < evaluation.steps.size(); ++i) {
        const TrueStep& step = evaluation.steps[i];
        core::StepRequest request;
        request.spec.name = step.name;
        request.spec.placement.system = "x86_64-linux";
        request.spec.placement.executor = "nix";
        request.spec.resources.cpus = step.askedCpus;
        const std::string path = derivationPath({evaluationNumber, i}, step.name);
        request.spec.work = std::make_shared<const work::Work>(work::NixWork{path, {}, {}, {}});
        request.dependsOn = step.dependsOn;
        request.root = step.root;
        job.steps.push_back(std::move(request));
    }
    return job;
}

core::StepRequest commandStep(const CommandSettings& settings)
{
    static const auto kWork =
        std::make_shared<const work::Work>(work::CommandWork{{"/bin/sh", "-c", "true"}, {}});
    core::StepRequest step;
    step.spec.name = settings.name;
    step.spec.placement.executor = "command";
    step.spec.placement.system = settings.system;
    step.spec.resources.cpus = settings.cpus;
    step.spec.work = kWork;
    return step;
}

core::JobRequest commandJob(const CommandSettings& settings)
{
    core::JobRequest job;
    job.spec.name = settings.name;
    job.spec.user = "ann";
    job.spec.shareGroup = settings.shareGroup;
    job.spec.priority = settings.priority;
    job.steps.push_back(commandStep(settings));
    return job;
}

protocol::MachineFacts machineFacts(const std::string& name, std::uint32_t slots, std::uint32_t cores,
                                    const std::string& system)
{
    protocol::MachineFacts facts;
    facts.name = name;
    facts.systems = {system};
    facts.executors = {"command", "nix"};
    facts.maxJobs = slots;
    facts.cores = cores;
    facts.memoryBytes = std::uint64_t{4} * cores << 30U;
    facts.storeDir = "/nix/store";
    facts.os = "linux";
    facts.nixTrusted = true;
    facts.bogomips = 4'000;
    return facts;
}

} // namespace penstock::test
