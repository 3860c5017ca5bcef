// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/copy_outbox.h"

#include "server/cache/detail/dir_list.h"
#include "shared/base/text.h"
#include "shared/nix/hash.h"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>

namespace penstock::cache {
namespace {

constexpr const char* kNameFile = "/store";
constexpr std::size_t kMaxUriBytes = 16U << 10U;
constexpr std::size_t kNameDigits = 32;

std::string folderOf(const std::string& uri)
{
    return nix::hashOf(uri).base32().substr(0, kNameDigits);
}

// Says whose queue it is, for people and for the next start.
Result<void> writeName(const std::string& directory, const std::string& uri)
{
    PENSTOCK_TRY_VOID(detail::makeDirectories(directory));
    const std::string path = directory + kNameFile;
    const std::string temporary = path + ".tmp";
    {
        PENSTOCK_TRY(const auto file,
                     detail::openAt(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_TRUNC, temporary));
        PENSTOCK_TRY_VOID(detail::writeAll(file.get(), uri + "\n", temporary));
        PENSTOCK_TRY_VOID(detail::syncFile(file.get(), temporary));
    }
    if (std::rename(temporary.c_str(), path.c_str()) != 0)
        return fail(detail::systemError(errno, "storing " + path));
    return {};
}

Result<std::string> readName(const std::string& directory)
{
    const std::string path = directory + kNameFile;
    PENSTOCK_TRY(const std::string text, detail::readSmall(AT_FDCWD, path, kMaxUriBytes, path));
    return toValidUtf8(trim(text));
}

} // namespace

Result<std::unique_ptr<CopyOutbox>> CopyOutbox::open(const std::string& directory,
                                                     const std::vector<std::string>& stores,
                                                     CopyQueueOptions options, Logger& logger)
{
    std::unique_ptr<CopyOutbox> outbox(new CopyOutbox(logger));
    PENSTOCK_TRY_VOID(detail::makeDirectories(directory));
    for (const std::string& uri : stores) {
        const std::string folder = directory + "/" + folderOf(uri);
        PENSTOCK_TRY_VOID(writeName(folder, uri));
        PENSTOCK_TRY(auto queue, CopyQueue::open(folder + "/entries", options));
        outbox->m_queues.emplace_back(uri, std::move(queue));
    }
    PENSTOCK_TRY(const auto folders, detail::entriesOf(AT_FDCWD, directory, directory));
    for (const auto& folder : folders) {
        const auto name = readName(directory + "/" + folder.name);
        const bool isOurs = std::any_of(stores.begin(), stores.end(),
                                        [&](const std::string& uri) { return folderOf(uri) == folder.name; });
        if (isOurs || !name)
            continue;
        PENSTOCK_TRY(const auto queue, CopyQueue::open(directory + "/" + folder.name + "/entries", options));
        const CopyQueueStatus status = queue->status();
        if (status.waiting == 0)
            continue;
        logger.warning("outbox.store_not_configured", {{"store", *name}, {"waiting", status.waiting}});
        outbox->m_unconfigured.push_back({*name, false, status});
    }
    return outbox;
}

Result<void> CopyOutbox::add(const std::vector<nix::StorePath>& paths, const std::string& log)
{
    for (const auto& [uri, queue] : m_queues)
        PENSTOCK_TRY_VOID(queue->add(paths, log));
    return {};
}

Result<bool> CopyOutbox::run(std::size_t store, OutputStore& from, OutputStore& to, const Clock& clock,
                             const CancelToken& cancel)
{
    auto& [uri, queue] = m_queues[store];
    PENSTOCK_TRY(const auto entry, queue->take(clock.now().mono));
    if (!entry)
        return false;
    auto copied = copyClosure(from, to, {entry->paths.begin(), entry->paths.end()}, cancel);
    if (copied && !entry->log.empty())
        if (auto log = copyLog(from, to, entry->log); !log)
            copied = fail(std::move(log).error());
    if (copied) {
        m_logger.debug("outbox.copied", {{"store", uri}, {"paths", copied->paths}, {"bytes", copied->bytes}});
        PENSTOCK_TRY_VOID(queue->finished(entry->number));
        return true;
    }
    m_logger.warning("outbox.failed",
                     {{"store", uri}, {"entry", entry->number}, {"error", copied.error().message}});
    queue->failed(entry->number, copied.error(), clock.now().mono);
    return true;
}

std::vector<OutboxStatus> CopyOutbox::status()
{
    std::vector<OutboxStatus> rows;
    for (const auto& [uri, queue] : m_queues)
        rows.push_back({uri, true, queue->status()});
    rows.insert(rows.end(), m_unconfigured.begin(), m_unconfigured.end());
    return rows;
}

} // namespace penstock::cache
