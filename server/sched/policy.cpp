// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/policy.h"

namespace penstock::sched {

std::string_view toString(StepSort sort)
{
    switch (sort) {
    case StepSort::Legacy: return "Legacy";
    case StepSort::WithRdeps: return "WithRdeps";
    case StepSort::WithCriticalPath: return "WithCriticalPath";
    }
    return "unknown";
}

std::string_view toString(MachineSort sort)
{
    switch (sort) {
    case MachineSort::Headroom: return "Headroom";
    case MachineSort::SpeedFactorOnly: return "SpeedFactorOnly";
    case MachineSort::CpuCoreCountWithSpeedFactor: return "CpuCoreCountWithSpeedFactor";
    case MachineSort::BogomipsWithSpeedFactor: return "BogomipsWithSpeedFactor";
    }
    return "unknown";
}

std::string_view toString(MachineFree free)
{
    switch (free) {
    case MachineFree::Static: return "Static";
    case MachineFree::Dynamic: return "Dynamic";
    case MachineFree::DynamicWithMaxJobLimit: return "DynamicWithMaxJobLimit";
    }
    return "unknown";
}

std::optional<StepSort> parseStepSort(std::string_view word)
{
    for (const auto sort : {StepSort::Legacy, StepSort::WithRdeps, StepSort::WithCriticalPath})
        if (word == toString(sort))
            return sort;
    return std::nullopt;
}

std::optional<MachineSort> parseMachineSort(std::string_view word)
{
    for (const auto sort : {MachineSort::Headroom, MachineSort::SpeedFactorOnly,
                            MachineSort::CpuCoreCountWithSpeedFactor, MachineSort::BogomipsWithSpeedFactor})
        if (word == toString(sort))
            return sort;
    return std::nullopt;
}

std::optional<MachineFree> parseMachineFree(std::string_view word)
{
    for (const auto free : {MachineFree::Static, MachineFree::Dynamic, MachineFree::DynamicWithMaxJobLimit})
        if (word == toString(free))
            return free;
    return std::nullopt;
}

} // namespace penstock::sched
