// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/app/recovery.h"

#include "builder/exec/attempt_folder.h"
#include "builder/exec/descendants.h"
#include "builder/spool/log_spool.h"
#include "shared/base/text.h"

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>

namespace penstock::builder {
namespace {

constexpr Duration kStartSlack = std::chrono::milliseconds(100); // /proc counts in ticks of 10 ms

// The names of numbered entries, "12" or with the given end; others are not ours.
std::vector<std::filesystem::path> listNumbered(const std::string& directory)
{
    std::vector<std::filesystem::path> paths;
    std::error_code error;
    for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
        const std::string stem = it->path().stem().string();
        if (parseUnsigned(stem))
            paths.push_back(it->path());
    }
    return paths;
}

void removeStrays(const Journal& journal, const WorkDirectory& directory, Logger& logger)
{
    for (const auto& path : listNumbered(directory.attemptsPath())) {
        if (const auto removed = removeTree(path.string()); !removed)
            logger.warning("attempt.folder_left", {{"path", path.string()}, {"error", removed.error().message}});
    }
    for (const auto& path : listNumbered(directory.logsPath())) {
        const auto number = parseUnsigned(path.stem().string());
        if (number && !journal.entries().contains(AttemptId(*number)))
            ::unlink(path.c_str());
    }
}

std::uint64_t logLength(const std::string& logsPath, AttemptId attempt)
{
    const auto spool = LogSpool::reopen(fmt::format("{}/{}.log", logsPath, attempt.value()));
    return spool ? spool->end().logOffset : 0;
}

} // namespace

std::string bootId()
{
    const FileHandle file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    std::array<char, 64> buffer{};
    const ssize_t got = file.isOpen() ? ::read(file.get(), buffer.data(), buffer.size()) : 0;
    return std::string(trim({buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0}));
}

std::size_t killLeftovers(const std::string& attemptsPath, const JournalEntries& entries, bool sameBoot)
{
    std::map<pid_t, Duration> sessions;
    for (const auto& [attempt, entry] : entries) {
        if (sameBoot && !entry.result && entry.session > 0)
            sessions[entry.session] = entry.sinceBoot;
    }
    // A session's number cannot be given to a stranger while a member lives, but it can after all are gone: then its
    // new leader is younger than our record.
    const auto isOurs = [&](const ProcessFacts& facts) {
        const auto found = sessions.find(facts.session);
        if (found == sessions.end())
            return false;
        return facts.pid != facts.session || facts.startedSinceBoot < found->second + kStartSlack;
    };
    const pid_t ownSession = ::getsid(0);
    return killMatching([&](const ProcessFacts& facts) {
        return facts.session != ownSession && (isOurs(facts) || carriesFolder(facts.pid, attemptsPath));
    });
}

Result<std::vector<RecoveredAttempt>> recoverAttempts(Journal& journal, const WorkDirectory& directory, WallTime now,
                                                      Logger& logger)
{
    if (journal.droppedBytes() > 0)
        logger.warning("journal.cut", {{"bytes", journal.droppedBytes()}});
    const std::size_t killed =
        killLeftovers(directory.attemptsPath(), journal.entries(), journal.formerBootId() == bootId());
    if (killed > 0)
        logger.warning("recovery.killed", {{"processes", killed}});
    removeStrays(journal, directory, logger);

    std::vector<protocol::AttemptResult> interrupted;
    for (const auto& [attempt, entry] : journal.entries()) {
        if (entry.result)
            continue;
        protocol::AttemptResult result;
        result.attempt = attempt;
        result.outcome = protocol::Outcome::Infrastructure;
        result.error = "the builder was restarted while the attempt ran";
        result.startedAt = entry.startedAt;
        result.stoppedAt = now;
        result.logBytes = logLength(directory.logsPath(), attempt);
        interrupted.push_back(std::move(result));
    }
    for (const protocol::AttemptResult& result : interrupted)
        PENSTOCK_TRY_VOID(journal.finished(result));

    std::vector<RecoveredAttempt> recovered;
    for (const auto& [attempt, entry] : journal.entries()) {
        if (!entry.resultStored && entry.result)
            recovered.push_back({entry.step, *entry.result});
    }
    if (!recovered.empty())
        logger.info("recovery.results", {{"held", recovered.size()}, {"interrupted", interrupted.size()}});
    return recovered;
}

} // namespace penstock::builder
