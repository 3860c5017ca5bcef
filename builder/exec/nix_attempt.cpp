// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/nix_attempt.h"

#include "shared/base/text.h"
#include "shared/nix/drv.h"
#include "shared/nixdaemon/daemon_connection.h"
#include "shared/protocol/limits.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>

namespace penstock::builder {
namespace {

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
    BuildLog(const NixAttemptLinks& links, const Clock& clock)
        : m_links(links), m_clock(clock), m_startedAt(clock.now().mono)
    {}

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
    [[nodiscard]] Duration elapsed() const { return m_clock.now().mono - m_startedAt; }

private:
    void tell(NixNews news)
    {
        if (m_links.credits.take(m_links.interrupt))
            m_links.tell(std::move(news));
    }

    const NixAttemptLinks& m_links;
    const Clock& m_clock;
    Instant m_startedAt;
    std::string m_pending; // at most kFlushBytes and one line
};

struct Work {
    nix::StorePath drvPath;
    std::optional<nix::Derivation> drv; // none: only the .drv in the store
    nix::StorePathSet inputs;
    std::map<std::string, nix::StorePath> outputs; // those known beforehand
    bool knowsAllOutputs = true;
};

Result<Work> parseWork(const nix::StoreDir& dir, const protocol::NixWork& given)
{
    PENSTOCK_TRY(auto drvPath, nix::StorePath::parse(dir, given.drvPath));
    Work work{std::move(drvPath), {}, {}, {}, true};
    if (!given.drv.empty()) {
        PENSTOCK_TRY(work.drv, nix::parseDerivationAt(dir, work.drvPath, given.drv));
    }
    for (const std::string& text : given.inputPaths) {
        PENSTOCK_TRY(auto path, nix::StorePath::parse(dir, text));
        work.inputs.insert(std::move(path));
    }
    for (const protocol::NixOutput& output : given.outputs) {
        work.knowsAllOutputs = work.knowsAllOutputs && !output.path.empty();
        if (output.path.empty())
            continue;
        PENSTOCK_TRY(auto path, nix::StorePath::parse(dir, output.path));
        work.outputs.insert_or_assign(output.name, std::move(path));
    }
    work.knowsAllOutputs = work.knowsAllOutputs && !work.outputs.empty();
    return work;
}

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
               Work work, BuildLog& log)
        : m_machine(machine), m_assignment(assignment), m_daemon(daemon), m_work(std::move(work)), m_log(log)
    {}

    // The verdict with outputs; an error is the machine's trouble or a cancellation.
    Result<AttemptExit> run()
    {
        PENSTOCK_TRY_VOID(m_daemon.setOptions(settingsFor(m_machine, m_assignment)));
        PENSTOCK_TRY_VOID(keepFromCollector());
        AttemptExit result;
        PENSTOCK_TRY(result.cached, hasAllOutputs());
        if (result.cached) {
            result.outcome = Outcome::Succeeded;
            result.nixStatus = static_cast<std::uint32_t>(BuildStatus::AlreadyValid);
            PENSTOCK_TRY_VOID(describeOutputs(m_work.outputs, result));
            holdToLimit(result);
            return result;
        }
        PENSTOCK_TRY_VOID(checkInputs());
        m_log.phase(0, "building");
        PENSTOCK_TRY(const BuildResult built, build());
        m_log.phase(0, "finishing");
        judge(built, result);
        if (result.outcome == Outcome::Succeeded)
            PENSTOCK_TRY_VOID(
                describeOutputs(built.outputs.empty() ? m_work.outputs : built.outputs, result));
        holdToLimit(result);
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

    // A trusted client gives the derivation itself; any client may name one that lies in the store.
    Result<BuildResult> build()
    {
        const bool needsTrust = !m_work.drv || m_work.drv->outputKind() == nix::OutputKind::InputAddressed;
        if (!m_work.drv || (needsTrust && m_machine.trust == nixdaemon::Trust::NotTrusted))
            return buildFromStore();
        auto built = m_daemon.buildDerivation(m_work.drvPath, nix::resolve(*m_work.drv, m_work.inputs),
                                              nixdaemon::BuildMode::Normal, m_log);
        const bool mayBeDistrust = needsTrust && m_machine.trust == nixdaemon::Trust::Unknown;
        if (!built && built.error().code == ErrorCode::Invalid && mayBeDistrust)
            return buildFromStore();
        return built;
    }

    Result<BuildResult> buildFromStore()
    {
        PENSTOCK_TRY_VOID(putDerivation());
        PENSTOCK_TRY(auto results, m_daemon.buildPathsWithResults({{m_work.drvPath, true, {}}},
                                                                  nixdaemon::BuildMode::Normal, m_log));
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

    // Outputs that were there already count as well, as Hydra counts them: what nobody may have is not handed out.
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
    Work m_work;
    BuildLog& m_log;
};

Result<AttemptExit> attempt(const NixMachine& machine, const protocol::Assignment& assignment,
                            const nixdaemon::Interrupt& interrupt, BuildLog& log)
{
    const auto* given = std::get_if<protocol::NixWork>(&assignment.work);
    if (given == nullptr)
        return fail(ErrorCode::Invalid, "the assignment has no Nix work");
    PENSTOCK_TRY(Work work, parseWork(machine.storeDir, *given));
    nixdaemon::DaemonOptions options;
    options.storeDir = machine.storeDir;
    options.interrupt = interrupt;
    PENSTOCK_TRY(const auto daemon, DaemonConnection::open(machine.socketPath, std::move(options)));
    return NixAttempt(machine, assignment, *daemon, std::move(work), log).run();
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

NewsCredits::NewsCredits(nixdaemon::FileDescriptor semaphore)
    : m_semaphore(std::make_shared<const nixdaemon::FileDescriptor>(std::move(semaphore)))
{}

Result<NewsCredits> NewsCredits::create(unsigned count)
{
    nixdaemon::FileDescriptor semaphore(::eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE));
    if (!semaphore.isOpen())
        return fail(ErrorCode::Internal, "eventfd failed: too many open files?");
    return NewsCredits(std::move(semaphore));
}

void NewsCredits::give() const
{
    // Cannot fail: the counter never holds more than it was made with.
    static_cast<void>(::eventfd_write(m_semaphore->number(), 1));
}

bool NewsCredits::take(const nixdaemon::Interrupt& interrupt) const
{
    for (;;) {
        std::array<pollfd, 2> waits{{{m_semaphore->number(), POLLIN, 0}, {interrupt.pollable(), POLLIN, 0}}};
        if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR)
            return false;
        if (waits[1].revents != 0)
            return false;
        eventfd_t one = 0;
        if (::eventfd_read(m_semaphore->number(), &one) == 0)
            return true;
    }
}

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
    case BuildStatus::Unknown: break;
    }
    return Outcome::Infrastructure;
}

AttemptExit runNixAttempt(const NixMachine& machine, const protocol::Assignment& assignment,
                          const NixAttemptLinks& links, const Clock& clock)
{
    BuildLog log(links, clock);
    log.phase(0, "preparing");
    auto ended = attempt(machine, assignment, links.interrupt, log);
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
