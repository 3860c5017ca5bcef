// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/nix_verdict.h"

namespace penstock::builder {

using nixdaemon::BuildStatus;
using protocol::Outcome;

Outcome outcomeOf(BuildStatus status, Outcome timedOut)
{
    switch (status) {
    case BuildStatus::Built:
    case BuildStatus::Substituted:
    case BuildStatus::AlreadyValid:
    case BuildStatus::ResolvesToAlreadyValid: return Outcome::Succeeded;
    case BuildStatus::PermanentFailure:
    case BuildStatus::InputRejected:
    case BuildStatus::OutputRejected: return Outcome::Failed;
    case BuildStatus::TransientFailure: return Outcome::Transient;
    case BuildStatus::TimedOut: return timedOut;
    case BuildStatus::LogLimitExceeded: return Outcome::LogLimit;
    case BuildStatus::NotDeterministic: return Outcome::NotDeterministic;
    case BuildStatus::CachedFailure:
    case BuildStatus::MiscFailure:
    case BuildStatus::DependencyFailed:
    case BuildStatus::NoSubstituters:
    case BuildStatus::HashMismatch:
    case BuildStatus::Unknown: break;
    }
    return Outcome::Infrastructure;
}

bool isFinal(BuildStatus status)
{
    switch (status) {
    case BuildStatus::CachedFailure:
    case BuildStatus::DependencyFailed:
    case BuildStatus::NoSubstituters:
    case BuildStatus::HashMismatch:
    case BuildStatus::Unknown: return true;
    case BuildStatus::Built:
    case BuildStatus::Substituted:
    case BuildStatus::AlreadyValid:
    case BuildStatus::PermanentFailure:
    case BuildStatus::InputRejected:
    case BuildStatus::OutputRejected:
    case BuildStatus::TransientFailure:
    case BuildStatus::TimedOut:
    case BuildStatus::MiscFailure:
    case BuildStatus::LogLimitExceeded:
    case BuildStatus::NotDeterministic:
    case BuildStatus::ResolvesToAlreadyValid: break;
    }
    return false;
}

} // namespace penstock::builder
