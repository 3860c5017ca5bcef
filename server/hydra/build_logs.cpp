// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/build_logs.h"

#include "shared/nix/store_path.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace penstock::hydra {
namespace {

constexpr std::uint64_t kReadBytes = 1U << 20U;
constexpr Duration kRetry = std::chrono::seconds(1);
constexpr std::array<std::string_view, 2> kCompressed{".bz2", ".zst"}; // behind the name of a former attempt's
constexpr std::string_view kCut = "\n[the log is cut here: it could not be written; Penstock has all of it]\n";

Error systemError(std::string_view what, const std::string& path)
{
    return {ErrorCode::Internal, fmt::format("{} build log {}: {}", what, path, std::strerror(errno))};
}

Result<void> writeAt(int descriptor, std::string_view bytes, std::uint64_t position, const std::string& path)
{
    while (!bytes.empty()) {
        const ssize_t put = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(position));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(systemError("writing", path));
        bytes.remove_prefix(static_cast<std::size_t>(put));
        position += static_cast<std::uint64_t>(put);
    }
    return {};
}

bool hasText(const std::vector<protocol::LogRecord>& records)
{
    return std::any_of(records.begin(), records.end(), [](const protocol::LogRecord& record) {
        return record.stream != protocol::Stream::System && !record.data.empty();
    });
}

bool hasText(logs::LogFile& log)
{
    for (std::uint64_t at = 0; at < log.size();) {
        const auto slice = log.read(at, kReadBytes);
        if (!slice || slice->records.empty())
            return false;
        if (hasText(slice->records))
            return true;
        at = slice->next;
    }
    return false;
}

} // namespace

Result<std::string> buildLogPath(std::string_view dataDir, std::string_view drvPath)
{
    PENSTOCK_TRY(const auto path, nix::StorePath::fromBaseName(drvPath.substr(drvPath.rfind('/') + 1)));
    if (!path.isDerivation())
        return fail(ErrorCode::Invalid, fmt::format("{} is not the path of a derivation", drvPath));
    const std::string& name = path.baseName();
    return fmt::format("{}/build-logs/{}/{}", dataDir, name.substr(0, 2), name.substr(2));
}

BuildLogs::BuildLogs(std::string dataDir, const Clock& clock, Logger& logger, BuildLogLimits limits)
    : m_dataDir(std::move(dataDir)), m_clock(clock), m_logger(logger), m_limits(limits)
{
}

BuildLogs::~BuildLogs()
{
    for (auto& [attempt, text] : m_texts)
        close(text);
}

// --------------------------------------------------------------------------------------------- what is told

void BuildLogs::opened(AttemptId attempt, const std::string& subject)
{
    if (m_texts.contains(attempt) || m_closed.contains(attempt))
        return;
    auto path = buildLogPath(m_dataDir, subject);
    if (!path) {
        m_logger.warning("hydra.log_refused", {{"attempt", attempt.value()}, {"error", path.error().message}});
        return;
    }
    const auto newest = m_newest.find(*path);
    if (newest != m_newest.end()) {
        if (attempt < newest->second)
            return;
        forget(m_texts.find(newest->second));
    }
    if (m_texts.size() >= m_limits.maxAttempts) {
        m_logger.warning("hydra.log_given_up", {{"attempt", m_texts.begin()->first.value()},
                                                {"limit", m_limits.maxAttempts}});
        forget(m_texts.begin());
    }
    m_newest.insert_or_assign(*path, attempt);
    m_texts.emplace(attempt, Text{.path = *std::move(path)});
}

void BuildLogs::running(AttemptId attempt, logs::LogFile* log)
{
    if (const auto text = m_texts.find(attempt); text != m_texts.end())
        write(attempt, text->second, nullptr, log);
}

void BuildLogs::appended(const protocol::LogChunk& chunk, logs::LogFile& log)
{
    if (const auto text = m_texts.find(chunk.attempt); text != m_texts.end())
        write(chunk.attempt, text->second, &chunk, &log);
}

void BuildLogs::closed(AttemptId attempt, logs::LogFile* log, logs::Ending ending)
{
    const auto found = m_texts.find(attempt);
    if (found == m_texts.end())
        return;
    const bool hasRun = ending != logs::Ending::NotRun;
    finish(found, log, hasRun);
    remember(attempt);
    const Text& text = found->second;
    if (!hasRun && text.isBegun && text.position == 0)
        remove(text.path); // nothing was built
    forget(found);
}

void BuildLogs::remove(const std::string& file)
{
    if (::unlink(file.c_str()) != 0 && errno != ENOENT)
        m_logger.warning("hydra.log_failed", {{"error", systemError("removing", file).message}});
}

void BuildLogs::ended(AttemptId attempt, logs::LogFile* log, bool hasRun)
{
    m_closed.erase(attempt);
    const auto text = m_texts.find(attempt);
    if (text == m_texts.end())
        return;
    finish(text, log, hasRun);
    forget(text);
}

void BuildLogs::remember(AttemptId attempt)
{
    m_closed.insert(attempt);
    if (m_closed.size() > m_limits.maxAttempts)
        m_closed.erase(m_closed.begin());
}

// What is stored of it is written, and what cannot be is said to be cut off. The log of a former attempt is left alone
// by one that has built nothing.
void BuildLogs::finish(Texts::iterator found, logs::LogFile* log, bool needsFile)
{
    auto& [attempt, text] = *found;
    struct stat info {};
    if (text.descriptor >= 0 && ::fstat(text.descriptor, &info) == 0 && info.st_nlink == 0)
        close(text); // somebody removed it
    if (!needsFile && !text.isBegun && (log == nullptr || !hasText(*log)))
        return;
    text.retryAt = {};
    write(attempt, text, nullptr, log);
    if (text.isTroubled)
        sayCut(attempt, text);
}

void BuildLogs::forget(Texts::iterator text)
{
    close(text->second);
    if (const auto newest = m_newest.find(text->second.path);
        newest != m_newest.end() && newest->second == text->first)
        m_newest.erase(newest);
    m_texts.erase(text);
}

// ------------------------------------------------------------------------------------------------- the file

// chunk: what was stored just now, to spare reading it back; null: whatever is missing.
void BuildLogs::write(AttemptId attempt, Text& text, const protocol::LogChunk* chunk, logs::LogFile* log)
{
    const Instant now = m_clock.now().mono;
    if (text.isTroubled && now < text.retryAt)
        return;
    const auto written = catchUp(attempt, text, chunk, log);
    const bool wasTroubled = std::exchange(text.isTroubled, !written);
    if (!written) {
        text.retryAt = now + kRetry;
        if (!wasTroubled)
            m_logger.warning("hydra.log_failed", {{"attempt", attempt.value()}, {"error", written.error().message}});
    } else if (wasTroubled) {
        m_logger.info("hydra.log_goes_on", {{"attempt", attempt.value()}});
    }
}

Result<void> BuildLogs::catchUp(AttemptId attempt, Text& text, const protocol::LogChunk* chunk, logs::LogFile* log)
{
    // What is said of the way there is not the builder's output, and no reason to take away the last attempt's.
    if (!text.isBegun && chunk != nullptr && !hasText(chunk->records))
        return {};
    PENSTOCK_TRY_VOID(begin(attempt, text));
    if (chunk != nullptr && chunk->offset <= text.taken)
        return add(attempt, text, chunk->offset, chunk->records);
    while (log != nullptr && text.taken < log->size()) {
        PENSTOCK_TRY(const logs::LogSlice slice, log->read(text.taken, kReadBytes));
        if (slice.records.empty())
            break;
        PENSTOCK_TRY_VOID(add(attempt, text, slice.offset, slice.records));
    }
    return {};
}

Result<void> BuildLogs::add(AttemptId attempt, Text& text, std::uint64_t offset,
                            const std::vector<protocol::LogRecord>& records)
{
    std::string fresh;
    std::uint64_t taken = text.taken;
    for (const protocol::LogRecord& record : records) {
        const std::uint64_t end = offset + record.data.size();
        if (end > taken) {
            if (record.stream != protocol::Stream::System)
                fresh.append(record.data, taken - offset);
            taken = end;
        }
        offset = end;
    }
    if (!fresh.empty()) {
        PENSTOCK_TRY_VOID(open(attempt, text, 0));
        PENSTOCK_TRY_VOID(writeAt(text.descriptor, fresh, text.position, text.path));
        text.position += fresh.size();
    }
    text.taken = taken;
    return {};
}

// Makes the file this attempt's, empty, when it is not; anew when somebody took it away or cut it.
Result<void> BuildLogs::begin(AttemptId attempt, Text& text)
{
    if (text.isBegun && text.descriptor >= 0)
        return {};
    if (text.isBegun) {
        struct stat info {};
        if (::stat(text.path.c_str(), &info) == 0 && static_cast<std::uint64_t>(info.st_size) >= text.position)
            return {};
    }
    close(text);
    PENSTOCK_TRY_VOID(make(attempt, text));
    for (const std::string_view ending : kCompressed)
        remove(fmt::format("{}{}", text.path, ending)); // the plain one is there, so that one is found always
    text.isBegun = true;
    text.taken = text.position = 0;
    return {};
}

// The folder is there nearly always: it is not looked for.
Result<void> BuildLogs::make(AttemptId attempt, Text& text)
{
    if (auto made = open(attempt, text, O_CREAT | O_TRUNC); made || made.error().code != ErrorCode::NotFound)
        return made;
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(text.path).parent_path(), error);
    if (error)
        return fail(ErrorCode::Internal, fmt::format("making the folder of build log {}: {}", text.path,
                                                     error.message()));
    return open(attempt, text, O_CREAT | O_TRUNC);
}

Result<void> BuildLogs::open(AttemptId attempt, Text& text, int flags)
{
    if (text.descriptor >= 0) {
        m_recent.splice(m_recent.begin(), m_recent, text.used);
        return {};
    }
    while (m_recent.size() >= m_limits.maxOpenFiles)
        close(m_texts.at(m_recent.back()));
    const int descriptor = ::open(text.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | flags, 0666);
    if (descriptor < 0 && errno == ENOENT)
        return fail(ErrorCode::NotFound, fmt::format("there is no {}", text.path));
    if (descriptor < 0)
        return fail(systemError("opening", text.path));
    text.descriptor = descriptor;
    m_recent.push_front(attempt);
    text.used = m_recent.begin();
    return {};
}

void BuildLogs::close(Text& text)
{
    if (text.descriptor < 0)
        return;
    ::close(std::exchange(text.descriptor, -1));
    m_recent.erase(text.used);
}

// On a full disk there is no room behind the text, so the note takes the place of its end then.
void BuildLogs::sayCut(AttemptId attempt, Text& text)
{
    m_logger.warning("hydra.log_cut", {{"attempt", attempt.value()}, {"file", text.path}, {"bytes", text.position}});
    if (!text.isBegun || !open(attempt, text, 0))
        return;
    if (writeAt(text.descriptor, kCut, text.position, text.path))
        return;
    const std::uint64_t at = text.position - std::min<std::uint64_t>(text.position, kCut.size());
    if (::ftruncate(text.descriptor, static_cast<off_t>(text.position)) != 0 ||
        !writeAt(text.descriptor, kCut.substr(0, text.position - at), at, text.path))
        m_logger.warning("hydra.log_failed", {{"error", systemError("marking", text.path).message}});
}

} // namespace penstock::hydra
