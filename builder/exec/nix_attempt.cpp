// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/nix_attempt.h"

#include "builder/exec/nix_results.h"
#include "builder/exec/nix_verdict.h"
#include "builder/exec/nix_work.h"
#include "shared/base/text.h"
#include "shared/nixdaemon/daemon_connection.h"
#include "shared/protocol/limits.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include <fmt/format.h>

namespace penstock::builder {
namespace {

using nixdaemon::BuildMode;
using nixdaemon::BuildResult;
using nixdaemon::BuildStatus;
using nixdaemon::DaemonConnection;
using protocol::Outcome;

constexpr std::size_t kFlushBytes = 32U << 10U;
// A byte that is no UTF-8 becomes three: the name stays below the limit of the link.
constexpr std::size_t kMaxPhaseBytes = protocol::kMaxNameBytes / 3;

// Passes log lines on in pieces. Without a credit it waits: the daemon then waits too, and so does the build.
class BuildLog final : public nixdaemon::DaemonEvents {
public:
    BuildLog(const NixAttemptLinks& links, const Clock& clock, bool isTransferring)
        : m_links(links), m_clock(clock), m_isTransferring(isTransferring), m_startedAt(clock.now().mono)
    {}

    // Where paths travel, the limits of time are for the build alone.
    void runClock(bool isRunning)
    {
        if (!m_isTransferring)
            return;
        flush();
        m_startedAt = m_clock.now().mono;
        tell(NixClockNews{isRunning});
    }

    void logLine(std::uint64_t, std::string_view line) override
    {
        m_pending.append(line).push_back('\n');
        if (m_pending.size() >= kFlushBytes)
            flush();
    }
    void phase(std::uint64_t, std::string_view name) override
    {
        flush(); // phases and lines keep their order
        tell(NixPhaseNews{toValidUtf8(name.substr(0, kMaxPhaseBytes))});
    }
    void idle() override { flush(); }

    void flush()
    {
        for (std::size_t at = 0; at < m_pending.size(); at += protocol::kMaxLogRecordBytes)
            tell(NixOutputNews{m_pending.substr(at, protocol::kMaxLogRecordBytes)});
        m_pending.clear();
    }
    [[nodiscard]] Instant now() const { return m_clock.now().mono; }
    [[nodiscard]] Duration elapsed() const { return now() - m_startedAt; }

private:
    void tell(NixNews news)
    {
        if (m_links.credits.take(m_links.interrupt))
            m_links.tell(std::move(news));
    }

    const NixAttemptLinks& m_links;
    const Clock& m_clock;
    const bool m_isTransferring;
    Instant m_startedAt;   // of what elapsed() counts
    std::string m_pending; // at most kFlushBytes and one line
};

std::uint64_t wholeSeconds(std::chrono::milliseconds time)
{
    return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::seconds>(time).count());
}

nixdaemon::ConnectionSettings settingsFor(const NixMachine& machine, const protocol::Assignment& assignment)
{
    nixdaemon::ConnectionSettings settings;
    settings.verbosity = 1;
    settings.cores = assignment.cpus;
    settings.useSubstitutes = machine.useSubstitutes;
    settings.maxSilentSeconds = wholeSeconds(assignment.limits.silentTimeout);
    settings.overrides["builders"] = ""; // the farm chose this machine
    settings.overrides["timeout"] = fmt::format("{}", wholeSeconds(assignment.limits.timeout));
    settings.overrides["max-build-log-size"] = fmt::format("{}", assignment.limits.maxLogBytes);
    return settings;
}

class NixAttempt {
public:
    NixAttempt(const NixMachine& machine, const protocol::Assignment& assignment, DaemonConnection& daemon,
               NixBuild work, const NixAttemptLinks& links, BuildLog& log)
        : m_machine(machine),
          m_assignment(assignment),
          m_daemon(daemon),
          m_work(std::move(work)),
          m_links(links),
          m_log(log)
    {
        if (!std::get<protocol::NixWork>(assignment.work).grant.empty() && machine.roads)
            m_transfer.emplace(*machine.roads, daemon, assignment, links.interrupt, machine.useSubstitutes);
    }

    // The verdict with outputs; an error is the machine's trouble or a cancellation.
    Result<AttemptExit> run()
    {
        PENSTOCK_TRY_VOID(m_daemon.setOptions(settingsFor(m_machine, m_assignment)));
        PENSTOCK_TRY_VOID(keepFromCollector());
        AttemptExit result;
        PENSTOCK_TRY(const bool isHere, hasAllOutputs());
        if (isHere && !m_work.isBuiltTwice()) { // else they may be of a build that was not repeatable
            beCached(result);
            PENSTOCK_TRY_VOID(deliver(m_work.outputs, result));
            return result;
        }
        PENSTOCK_TRY(const bool isThere, takeFromServer(result));
        if (isThere)
            return result;
        PENSTOCK_TRY_VOID(bringInputs(result));
        PENSTOCK_TRY(const BuildResult built, buildInSlot(result));
        if (result.outcome == Outcome::Succeeded)
            PENSTOCK_TRY_VOID(deliver(built.outputs.empty() ? m_work.outputs : built.outputs, result));
        return result;
    }

private:
    Result<void> keepFromCollector()
    {
        nix::StorePathSet paths = m_work.inputs;
        for (const auto& [name, path] : m_work.outputs)
            paths.insert(path);
        return m_daemon.addTempRoots(paths);
    }

    static void beCached(AttemptExit& result)
    {
        result.cached = true;
        result.outcome = Outcome::Succeeded;
        result.nixStatus = static_cast<std::uint32_t>(BuildStatus::AlreadyValid);
    }

    Result<bool> hasAllOutputs()
    {
        if (!m_work.knowsAllOutputs)
            return false;
        nix::StorePathSet wanted;
        for (const auto& [name, path] : m_work.outputs)
            wanted.insert(path);
        PENSTOCK_TRY(const auto valid, m_daemon.queryValidPaths(wanted, m_machine.useSubstitutes));
        return valid.size() == wanted.size();
    }

    // What the server has need not be built, nor come here.
    Result<bool> takeFromServer(AttemptExit& result)
    {
        if (!m_transfer || !m_work.knowsAllOutputs)
            return false;
        PENSTOCK_TRY(auto outputs, m_transfer->outputsAtServer(m_work.outputs));
        if (!outputs)
            return false;
        beCached(result);
        result.outputs = *std::move(outputs);
        holdToLimit(result);
        if (result.outcome == Outcome::Succeeded)
            PENSTOCK_TRY_VOID(readResultsAtServer(result));
        return true;
    }

    Result<void> readResultsAtServer(AttemptExit& result)
    {
        m_log.phase(0, "finishing");
        ResultCollector collector(m_machine.storeDir, m_work.outputs);
        const auto read = [this](const nix::StorePath& path, const ByteSink& sink) {
            return m_transfer->readAtServer(path, sink);
        };
        return addResults(collector, read, m_transfer->closureSizeAtServer(pathsOf(m_work.outputs)), result);
    }

    Result<void> bringInputs(AttemptExit& result)
    {
        if (m_transfer && !m_work.inputs.empty()) {
            m_log.phase(0, "sending-inputs");
            const Instant from = m_log.now();
            PENSTOCK_TRY_VOID(m_transfer->fetch(m_work.inputs));
            result.effort.copied += m_log.now() - from;
        }
        return checkInputs();
    }

    Result<void> checkInputs()
    {
        if (m_work.inputs.empty())
            return {};
        PENSTOCK_TRY(const auto valid, m_daemon.queryValidPaths(m_work.inputs, m_machine.useSubstitutes));
        const auto isMissing = [&](const nix::StorePath& path) { return !valid.contains(path); };
        const auto first = std::find_if(m_work.inputs.begin(), m_work.inputs.end(), isMissing);
        if (first == m_work.inputs.end())
            return {};
        const auto count = std::count_if(m_work.inputs.begin(), m_work.inputs.end(), isMissing);
        return fail(ErrorCode::NotFound,
                    fmt::format("{} of {} inputs are not in this machine's store, first {}; copy them there",
                                count, m_work.inputs.size(), first->print(m_machine.storeDir)));
    }

    Result<BuildResult> buildInSlot(AttemptExit& result)
    {
        if (m_links.buildSlots && !m_links.buildSlots->take(m_links.interrupt))
            return fail(ErrorCode::Cancelled, "cancelled while waiting for other builds of this machine");
        m_log.phase(0, "building");
        m_log.runClock(true);
        auto built = build(BuildMode::Normal);
        const bool isRepeated = built && (built->status == BuildStatus::Built ||
                                          (built->status == BuildStatus::AlreadyValid && m_work.isBuiltTwice()));
        if (isRepeated)
            built = repeated(*std::move(built), result.effort);
        if (m_links.buildSlots)
            m_links.buildSlots->give();
        if (built)
            judge(*built, result);
        m_log.runClock(false);
        return built;
    }

    // Outputs above the limit do not leave the machine.
    Result<void> deliver(const std::map<std::string, nix::StorePath>& outputs, AttemptExit& result)
    {
        if (!m_transfer)
            m_log.phase(0, "finishing");
        PENSTOCK_TRY_VOID(describeOutputs(outputs, result));
        holdToLimit(result);
        if (result.outcome != Outcome::Succeeded)
            return {};
        const nix::StorePathSet paths = pathsOf(outputs);
        ResultCollector collector(m_machine.storeDir, outputs);
        if (m_transfer) {
            m_log.phase(0, "uploading");
            const Instant from = m_log.now();
            PENSTOCK_TRY_VOID(m_transfer->send(paths, [&](const nix::StorePath& path) { return collector.tap(path); }));
            result.effort.copied += m_log.now() - from;
            m_log.phase(0, "finishing");
        }
        const auto read = [this](const nix::StorePath& path, const ByteSink& sink) {
            return m_transfer ? m_transfer->readHere(path, sink) : readBySelf(path, sink);
        };
        return addResults(collector, read, closureSize(m_daemon, paths), result);
    }

    // After an error the connection is of no more use, nor needed: what cannot be read is left out.
    Result<void> readBySelf(const nix::StorePath& path, const ByteSink& sink)
    {
        auto done = m_daemon.narFromPath(path, sink);
        if (!done && done.error().code != ErrorCode::Cancelled)
            return fail(ErrorCode::Corrupt, done.error().message);
        return done;
    }

    static nix::StorePathSet pathsOf(const std::map<std::string, nix::StorePath>& outputs)
    {
        nix::StorePathSet paths;
        for (const auto& [name, path] : outputs)
            paths.insert(path);
        return paths;
    }

    static Result<void> addResults(ResultCollector& collector, const ReadNar& read,
                                   const Result<std::uint64_t>& closureBytes, AttemptExit& result)
    {
        if (!closureBytes && isOfMachine(closureBytes.error()))
            return fail(closureBytes.error());
        PENSTOCK_TRY(CollectedResults collected, collector.finish(read));
        result.results = std::move(collected.results);
        result.notes = std::move(collected.notes);
        if (closureBytes)
            result.results.closureSize = *closureBytes;
        else
            result.notes.push_back(fmt::format("the closure's size is not known: {}", closureBytes.error().message));
        return {};
    }

    // Built anew and compared with what is there, as often as is asked for. The first result, with the time of all,
    // unless a later one is bad; whether they must be the same is the author's to say, and the jobset's only to see.
    Result<BuildResult> repeated(BuildResult first, protocol::BuildEffort& effort)
    {
        const bool mustBeSame = m_work.isBuiltTwice();
        const std::uint32_t repeats = std::max(m_assignment.limits.repeats, mustBeSame ? 1U : 0U);
        for (std::uint32_t round = 1; round <= repeats; ++round) {
            PENSTOCK_TRY(BuildResult again, build(BuildMode::Check));
            const bool differs = again.status == BuildStatus::NotDeterministic;
            if (!differs && !nixdaemon::isGood(again.status))
                return again;
            effort.rounds = round + 1;
            effort.isNondeterministic = effort.isNondeterministic || differs;
            if (differs && mustBeSame)
                return again;
            first.cpuUser = first.cpuUser.value_or(0) + again.cpuUser.value_or(0);
            first.cpuSystem = first.cpuSystem.value_or(0) + again.cpuSystem.value_or(0);
        }
        return first;
    }

    // A trusted client gives the derivation itself; any client may name one that lies in the store.
    Result<BuildResult> build(BuildMode mode)
    {
        const bool needsTrust = m_work.needsTrust();
        if (!m_work.drv || (needsTrust && m_machine.trust == nixdaemon::Trust::NotTrusted))
            return buildFromStore(mode);
        auto built = m_daemon.buildDerivation(m_work.drvPath, *m_work.basic, mode, m_log);
        const bool mayBeDistrust = needsTrust && m_machine.trust == nixdaemon::Trust::Unknown;
        if (!built && built.error().code == ErrorCode::Invalid && mayBeDistrust)
            return buildFromStore(mode);
        return built;
    }

    Result<BuildResult> buildFromStore(BuildMode mode)
    {
        PENSTOCK_TRY_VOID(putDerivation());
        PENSTOCK_TRY(auto results, m_daemon.buildPathsWithResults({{m_work.drvPath, true, {}}}, mode, m_log));
        if (results.size() != 1)
            return fail(ErrorCode::Corrupt,
                        fmt::format("the nix-daemon gave {} results for one derivation", results.size()));
        return std::move(results.begin()->second);
    }

    Result<void> putDerivation()
    {
        PENSTOCK_TRY(const bool isThere, m_daemon.isValidPath(m_work.drvPath));
        if (isThere)
            return {};
        Result<void> put = fail(ErrorCode::NotFound, "the .drv file is not in the store");
        if (m_work.drv) {
            const std::string text = nix::printDerivation(m_machine.storeDir, *m_work.drv);
            const auto added = m_daemon.addTextToStore(m_work.drvPath.name(), text, m_work.drv->references());
            put = added ? Result<void>() : Result<void>(fail(added.error()));
        }
        if (!put && put.error().code != ErrorCode::Cancelled && put.error().code != ErrorCode::Unavailable)
            return fail(
                ErrorCode::Denied,
                fmt::format("the nix-daemon does not trust this user, and {} cannot be built from the store "
                            "({}); add the user to trusted-users in nix.conf",
                            m_work.drvPath.baseName(), put.error().message));
        return put;
    }

    void judge(const BuildResult& built, AttemptExit& result) const
    {
        // Nix does not tell which of the two limits was reached.
        const protocol::Limits& limits = m_assignment.limits;
        const bool isTotal = limits.timeout.count() > 0 && m_log.elapsed() >= limits.timeout;
        const bool isSilence = limits.silentTimeout.count() > 0 && !isTotal;
        result.outcome = outcomeOf(built.status, isSilence ? Outcome::SilentTimedOut : Outcome::TimedOut);
        result.nixStatus = static_cast<std::uint32_t>(std::min<std::uint64_t>(built.number, 0xFFFFFFFFU));
        result.isFinal = isFinal(built.status);
        result.cached = result.outcome == Outcome::Succeeded && built.status != BuildStatus::Built;
        result.error = built.error;
        if (result.outcome != Outcome::Succeeded && result.error.empty())
            result.error = fmt::format("Nix says: {} (status {})", toString(built.status), built.number);
        result.cpuUser = Duration(static_cast<std::int64_t>(built.cpuUser.value_or(0)));
        result.cpuSystem = Duration(static_cast<std::int64_t>(built.cpuSystem.value_or(0)));
    }

    Result<void> describeOutputs(const std::map<std::string, nix::StorePath>& outputs, AttemptExit& result)
    {
        for (const auto& [name, path] : outputs) {
            PENSTOCK_TRY(const auto info, m_daemon.queryPathInfo(path));
            if (!info)
                return fail(ErrorCode::NotFound,
                            fmt::format("output {} was built, but {} is not valid any more", name,
                                        path.print(m_machine.storeDir)));
            result.outputs.push_back(
                {name, path.print(m_machine.storeDir), info->narHash.prefixedBase16(), info->narSize});
        }
        return {};
    }

    // Outputs that were there already count as well, as Hydra counts them: what nobody may have is not handed
    // out.
    void holdToLimit(AttemptExit& result) const
    {
        const std::uint64_t limit = m_assignment.limits.maxOutputBytes;
        std::uint64_t bytes = 0;
        for (const protocol::NixOutput& output : result.outputs)
            bytes += output.narSize;
        if (limit == 0 || bytes <= limit)
            return;
        result.outcome = Outcome::OutputLimit;
        result.error = fmt::format("the outputs have {} bytes, the output limit is {}", bytes, limit);
        result.outputs.clear();
    }

    const NixMachine& m_machine;
    const protocol::Assignment& m_assignment;
    DaemonConnection& m_daemon;
    NixBuild m_work;
    const NixAttemptLinks& m_links;
    BuildLog& m_log;
    std::optional<NixTransfer> m_transfer; // none: the stores are shared
};

Result<AttemptExit> attempt(const NixMachine& machine, const protocol::Assignment& assignment,
                            const NixAttemptLinks& links, BuildLog& log)
{
    const auto* given = std::get_if<protocol::NixWork>(&assignment.work);
    if (given == nullptr)
        return fail(ErrorCode::Invalid, "the assignment has no Nix work");
    if (!given->grant.empty() && !machine.roads)
        return fail(ErrorCode::Unavailable,
                    "the server wants inputs and outputs to travel, and this builder cannot");
    PENSTOCK_TRY(NixBuild work, readNixWork(machine.storeDir, *given));
    nixdaemon::DaemonOptions options;
    options.storeDir = machine.storeDir;
    options.interrupt = links.interrupt;
    options.hasCaDerivations = machine.hasCaDerivations;
    PENSTOCK_TRY(const auto daemon, DaemonConnection::open(machine.socketPath, std::move(options)));
    return NixAttempt(machine, assignment, *daemon, std::move(work), links, log).run();
}

std::string clipped(std::string text)
{
    text = toValidUtf8(text);
    if (text.size() <= protocol::kMaxErrorBytes)
        return text;
    text.resize(protocol::kMaxErrorBytes - 16); // room for a cut character to become U+FFFD
    return toValidUtf8(text);
}

} // namespace

AttemptExit runNixAttempt(const NixMachine& machine, const protocol::Assignment& assignment,
                          const NixAttemptLinks& links, const Clock& clock)
{
    const auto* work = std::get_if<protocol::NixWork>(&assignment.work);
    BuildLog log(links, clock, work != nullptr && !work->grant.empty());
    log.phase(0, "preparing");
    log.runClock(false);
    auto ended = attempt(machine, assignment, links, log);
    log.flush();
    AttemptExit result;
    if (ended) {
        result = *std::move(ended);
    } else {
        const bool isCancelled = ended.error().code == ErrorCode::Cancelled;
        result.outcome = isCancelled ? Outcome::Cancelled : Outcome::Infrastructure;
        result.error = std::move(ended.error().message);
    }
    result.error = clipped(std::move(result.error));
    return result;
}

} // namespace penstock::builder
