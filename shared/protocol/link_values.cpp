// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/protocol/link_values.h"

namespace penstock::protocol {

std::string_view toString(RejectReason reason)
{
    switch (reason) {
    case RejectReason::Unspecified: return "unspecified";
    case RejectReason::NoSlot: return "no_slot";
    case RejectReason::Draining: return "draining";
    case RejectReason::Unsupported: return "unsupported";
    case RejectReason::Invalid: return "invalid";
    case RejectReason::Resources: return "resources";
    case RejectReason::Stale: return "stale";
    }
    return "unspecified";
}

std::string_view toString(Outcome outcome)
{
    switch (outcome) {
    case Outcome::Succeeded: return "succeeded";
    case Outcome::Failed: return "failed";
    case Outcome::TimedOut: return "timed_out";
    case Outcome::SilentTimedOut: return "silent_timed_out";
    case Outcome::LogLimit: return "log_limit";
    case Outcome::Cancelled: return "cancelled";
    case Outcome::Infrastructure: return "infrastructure";
    case Outcome::NotDeterministic: return "not_deterministic";
    case Outcome::OutputLimit: return "output_limit";
    case Outcome::Transient: return "transient";
    }
    return "infrastructure";
}

std::string_view toString(Stream stream)
{
    switch (stream) {
    case Stream::Out: return "out";
    case Stream::Err: return "err";
    case Stream::System: return "system";
    }
    return "out";
}

std::string_view toString(GoodbyeReason reason)
{
    switch (reason) {
    case GoodbyeReason::Unspecified: return "unspecified";
    case GoodbyeReason::Stopping: return "stopping";
    case GoodbyeReason::Restarting: return "restarting";
    case GoodbyeReason::ProtocolError: return "protocol_error";
    case GoodbyeReason::Version: return "version";
    case GoodbyeReason::Denied: return "denied";
    case GoodbyeReason::IdentityInUse: return "identity_in_use";
    case GoodbyeReason::Timeout: return "timeout";
    case GoodbyeReason::Replaced: return "replaced";
    case GoodbyeReason::Overloaded: return "overloaded";
    case GoodbyeReason::NotLeader: return "not_leader";
    }
    return "unspecified";
}

} // namespace penstock::protocol
