// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/dir_store.h"

#include "server/cache/detail/dir_list.h"
#include "server/cache/parallel.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <iterator>
#include <set>
#include <span>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace penstock::cache {
namespace {

constexpr const char* kTemporary = ".penstock-tmp";
constexpr std::size_t kReadBytes = 256U << 10U;
constexpr std::size_t kWriteBytes = 64U << 10U; // small pieces are gathered up to this
// A journal takes the syncs of several threads in one go.
constexpr std::size_t kParallelSyncs = 8;
// From here on one sync of the whole file system is cheaper than one a file.
constexpr std::size_t kSyncTogether = 32;
constexpr std::size_t kPutTogether = 256; // open files at once

std::string parentOf(std::string_view key)
{
    const std::size_t slash = key.rfind('/');
    return std::string(slash == std::string_view::npos ? std::string_view() : key.substr(0, slash));
}

} // namespace

class DirWriter final : public ObjectWriter {
public:
    DirWriter(DirStore& store, std::string key, PutOptions options, DirStore::TempFile temporary)
        : m_store(store),
          m_key(std::move(key)),
          m_options(std::move(options)),
          m_temporary(std::move(temporary))
    {}
    ~DirWriter() override
    {
        if (!m_shown)
            m_store.discard(m_temporary);
    }
    DirWriter(const DirWriter&) = delete;
    DirWriter& operator=(const DirWriter&) = delete;

    Result<void> write(std::string_view bytes) override
    {
        if (m_gathered.size() + bytes.size() < kWriteBytes) {
            m_gathered.append(bytes);
            return {};
        }
        PENSTOCK_TRY_VOID(flush());
        return detail::writeAll(m_temporary.file.get(), bytes, m_store.pathOf(m_key));
    }
    Result<void> commit() override
    {
        PENSTOCK_TRY_VOID(flush());
        if (!m_options.syncLater)
            PENSTOCK_TRY_VOID(detail::syncFile(m_temporary.file.get(), m_store.pathOf(m_key)));
        PENSTOCK_TRY_VOID(m_store.show(m_temporary, m_key, m_options.ifAbsent));
        m_shown = true;
        if (m_options.syncLater)
            return {};
        return m_store.m_groupSync.sync(parentOf(m_key));
    }

private:
    Result<void> flush()
    {
        auto done = detail::writeAll(m_temporary.file.get(), m_gathered, m_store.pathOf(m_key));
        m_gathered.clear();
        return done;
    }

    DirStore& m_store;
    const std::string m_key;
    const PutOptions m_options;
    DirStore::TempFile m_temporary;
    std::string m_gathered;
    bool m_shown = false;
};

DirStore::DirStore(std::string path, DirAccess access, detail::Descriptor root)
    : m_path(std::move(path)),
      m_access(access),
      m_root(std::move(root)),
      m_groupSync([this](const std::string& directory) { return syncDirectory(directory); })
{}

Result<std::unique_ptr<DirStore>> DirStore::open(std::string path, DirAccess access)
{
    while (path.size() > 1 && path.back() == '/')
        path.pop_back();
    if (!path.starts_with('/'))
        return fail(ErrorCode::Invalid,
                    fmt::format("the directory {} of a cache has to be an absolute path", path));
    if (access == DirAccess::ReadWrite)
        PENSTOCK_TRY_VOID(detail::makeDirectories(path));
    PENSTOCK_TRY(auto root, detail::openAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, path));
    std::unique_ptr<DirStore> store(new DirStore(std::move(path), access, std::move(root)));
    if (access == DirAccess::ReadWrite)
        PENSTOCK_TRY_VOID(store->prepare());
    return store;
}

Result<void> DirStore::prepare()
{
    const std::string path = m_path + "/" + kTemporary;
    if (::mkdirat(m_root.get(), kTemporary, 0700) != 0 && errno != EEXIST)
        return fail(detail::systemError(errno, "making the directory " + path));
    PENSTOCK_TRY(m_temporary, detail::openAt(m_root.get(), kTemporary, O_RDONLY | O_DIRECTORY, path));
    return removeLeftovers();
}

Result<void> DirStore::removeLeftovers()
{
    PENSTOCK_TRY(const auto names, detail::entriesOf(m_temporary.get(), ".", m_path + "/" + kTemporary));
    for (const auto& entry : names) {
        const std::string path = fmt::format("{}/{}/{}", m_path, kTemporary, entry.name);
        const auto file = detail::openAt(m_temporary.get(), entry.name, O_RDONLY | O_NOFOLLOW, path);
        if (!file && file.error().code == ErrorCode::NotFound)
            continue; // its writer has just finished
        if (!file)
            return fail(file.error());
        if (::flock(file->get(), LOCK_EX | LOCK_NB) != 0)
            continue; // a server that still runs writes it
        if (::unlinkat(m_temporary.get(), entry.name.c_str(), 0) != 0 && errno != ENOENT)
            return fail(detail::systemError(errno, "removing " + path));
    }
    return {};
}

std::string DirStore::pathOf(std::string_view key) const
{
    return fmt::format("{}/{}", m_path, key);
}

Result<DirStore::TempFile> DirStore::makeTemporary(const std::string& path)
{
    for (;;) {
        std::uint64_t number = 0;
        {
            const MutexLock lock(m_mutex);
            number = ++m_lastTemporary;
        }
        TempFile made{fmt::format("{}-{}", ::getpid(), number), {}};
        auto file = detail::openAt(m_temporary.get(), made.name, O_WRONLY | O_CREAT | O_EXCL, path);
        if (!file && file.error().code == ErrorCode::Conflict)
            continue; // of a process that had our number
        if (!file)
            return fail(std::move(file).error());
        made.file = *std::move(file);
        struct stat info {};
        // Somebody who cleans up may have been faster than our lock.
        if (::flock(made.file.get(), LOCK_EX | LOCK_NB) == 0 && ::fstat(made.file.get(), &info) == 0 &&
            info.st_nlink == 1)
            return made;
    }
}

void DirStore::discard(const TempFile& temporary)
{
    // A failure leaves what the next opening removes.
    ::unlinkat(m_temporary.get(), temporary.name.c_str(), 0);
}

Result<std::unique_ptr<ObjectWriter>> DirStore::create(std::string_view key, PutOptions options)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    const std::string path = pathOf(key);
    if (m_access == DirAccess::ReadOnly)
        return fail(ErrorCode::Denied, fmt::format("{} was opened for reading only", describe()));
    if (!options.contentEncoding.empty())
        return fail(ErrorCode::Invalid, fmt::format("{}: a directory cannot keep the content encoding {}",
                                                    path, options.contentEncoding));
    PENSTOCK_TRY(auto temporary, makeTemporary(path));
    return std::make_unique<DirWriter>(*this, std::string(key), std::move(options), std::move(temporary));
}

Result<void> DirStore::makeParents(const std::string& key)
{
    for (std::size_t slash = key.find('/'); slash != std::string::npos; slash = key.find('/', slash + 1)) {
        const std::string directory = key.substr(0, slash);
        if (::mkdirat(m_root.get(), directory.c_str(), 0755) != 0) {
            if (errno == EEXIST)
                continue;
            return fail(detail::systemError(errno, "making the directory " + pathOf(directory)));
        }
        PENSTOCK_TRY_VOID(m_groupSync.sync(parentOf(directory)));
    }
    return {};
}

Result<void> DirStore::linkNew(const TempFile& temporary, const std::string& key)
{
    const int from = m_temporary.get();
    if (::renameat2(from, temporary.name.c_str(), m_root.get(), key.c_str(), RENAME_NOREPLACE) == 0)
        return {};
    // Not every file system can; a hard link is as good.
    if (errno == EINVAL && ::linkat(from, temporary.name.c_str(), m_root.get(), key.c_str(), 0) == 0) {
        discard(temporary);
        return {};
    }
    return fail(detail::systemError(errno, "storing " + pathOf(key)));
}

Result<void> DirStore::show(const TempFile& temporary, const std::string& key, bool ifAbsent)
{
    const auto rename = [&]() -> Result<void> {
        if (ifAbsent)
            return linkNew(temporary, key);
        if (::renameat(m_temporary.get(), temporary.name.c_str(), m_root.get(), key.c_str()) != 0)
            return fail(detail::systemError(errno, "storing " + pathOf(key)));
        return {};
    };
    auto done = rename();
    if (done || done.error().code != ErrorCode::NotFound || key.find('/') == std::string::npos)
        return done;
    PENSTOCK_TRY_VOID(makeParents(key));
    return rename();
}

Result<void> DirStore::syncDirectory(const std::string& directory)
{
    const std::string path = pathOf(directory);
    PENSTOCK_TRY(const auto opened, detail::openAt(m_root.get(), directory.empty() ? "." : directory,
                                                   O_RDONLY | O_DIRECTORY, path));
    return detail::syncFile(opened.get(), path);
}

Result<void> DirStore::syncAll()
{
    if (::syncfs(m_root.get()) != 0)
        return fail(detail::systemError(errno, "making durable " + m_path));
    return {};
}

Result<void> DirStore::putMany(std::vector<SmallObject> objects)
{
    if (m_access == DirAccess::ReadOnly)
        return fail(ErrorCode::Denied, fmt::format("{} was opened for reading only", describe()));
    std::set<std::string> directories;
    for (const SmallObject& object : objects) {
        PENSTOCK_TRY_VOID(checkKey(object.key));
        directories.insert(parentOf(object.key));
    }
    const std::span<const SmallObject> all(objects);
    for (std::size_t at = 0; at < all.size(); at += kPutTogether)
        PENSTOCK_TRY_VOID(putBatch(all.subspan(at, std::min(kPutTogether, all.size() - at))));
    for (const std::string& directory : directories)
        PENSTOCK_TRY_VOID(m_groupSync.sync(directory));
    return {};
}

Result<void> DirStore::putRounds(std::vector<std::vector<SmallObject>> rounds)
{
    std::vector<SmallObject> all;
    for (std::vector<SmallObject>& round : rounds)
        std::move(round.begin(), round.end(), std::back_inserter(all));
    return putMany(std::move(all));
}

Result<void> DirStore::putBatch(std::span<const SmallObject> objects)
{
    const bool isTogether = objects.size() >= kSyncTogether;
    std::vector<TempFile> temporaries(objects.size());
    const auto write = [&](std::size_t i) -> Result<void> {
        const std::string path = pathOf(objects[i].key);
        PENSTOCK_TRY(temporaries[i], makeTemporary(path));
        PENSTOCK_TRY_VOID(detail::writeAll(temporaries[i].file.get(), objects[i].text, path));
        return isTogether ? Result<void>() : detail::syncFile(temporaries[i].file.get(), path);
    };
    // Without syncs there is nothing to wait for side by side.
    auto done = parallelFor(objects.size(), isTogether ? 1 : kParallelSyncs, write);
    if (done && isTogether)
        done = syncAll();
    std::size_t shown = 0;
    for (; shown < objects.size() && done; ++shown)
        done = show(temporaries[shown], objects[shown].key, objects[shown].options.ifAbsent);
    if (done)
        return done;
    for (std::size_t i = shown == 0 ? 0 : shown - 1; i < objects.size();
         ++i) // the last one shown is the one that failed
        if (temporaries[i].file.isOpen())
            discard(temporaries[i]);
    return done;
}

Result<void> DirStore::sync(const std::vector<std::string>& keys)
{
    std::set<std::string> directories;
    for (const std::string& key : keys)
        directories.insert(parentOf(key));
    if (keys.size() >= kSyncTogether)
        return syncAll();
    const auto syncOne = [&](std::size_t i) -> Result<void> {
        PENSTOCK_TRY_VOID(checkKey(keys[i]));
        PENSTOCK_TRY(const auto file, detail::openAt(m_root.get(), keys[i], O_RDONLY, pathOf(keys[i])));
        return detail::syncFile(file.get(), pathOf(keys[i]));
    };
    PENSTOCK_TRY_VOID(parallelFor(keys.size(), kParallelSyncs, syncOne));
    for (const std::string& directory : directories)
        PENSTOCK_TRY_VOID(m_groupSync.sync(directory));
    return {};
}

Result<std::optional<ObjectInfo>> DirStore::head(std::string_view key)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    struct stat info {};
    if (::fstatat(m_root.get(), std::string(key).c_str(), &info, 0) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return std::nullopt;
        return fail(detail::systemError(errno, "looking at " + pathOf(key)));
    }
    if (!S_ISREG(info.st_mode))
        return std::nullopt;
    return ObjectInfo{static_cast<std::uint64_t>(info.st_size), {}};
}

Result<std::optional<WallTime>> DirStore::modifiedAt(std::string_view key)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    struct stat info {};
    if (::fstatat(m_root.get(), std::string(key).c_str(), &info, 0) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return std::nullopt;
        return fail(detail::systemError(errno, "looking at " + pathOf(key)));
    }
    return WallTime{std::chrono::seconds(info.st_mtim.tv_sec)};
}

Result<void> DirStore::get(std::string_view key, ByteRange range, const ByteSink& sink)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    const std::string path = pathOf(key);
    PENSTOCK_TRY(const auto file, detail::openAt(m_root.get(), std::string(key), O_RDONLY, path));
    struct stat info {};
    if (::fstat(file.get(), &info) != 0)
        return fail(detail::systemError(errno, "looking at " + path));
    if (!S_ISREG(info.st_mode))
        return fail(ErrorCode::NotFound, path + " is no file");
    const auto size = static_cast<std::uint64_t>(info.st_size);
    if (range.offset != 0 && range.offset >= size)
        return fail(ErrorCode::Invalid,
                    fmt::format("a range of {} begins at {}, it has {} bytes", path, range.offset, size));
    std::uint64_t left = std::min(range.length.value_or(size), size - range.offset);
    std::uint64_t at = range.offset;
    std::string buffer(static_cast<std::size_t>(std::min<std::uint64_t>(left, kReadBytes)), '\0');
    while (left > 0) {
        const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left, buffer.size()));
        const ssize_t got = ::pread(file.get(), buffer.data(), wanted, static_cast<off_t>(at));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(detail::systemError(errno, fmt::format("reading {} at {}", path, at)));
        if (got == 0)
            return fail(ErrorCode::Corrupt,
                        fmt::format("{} became shorter than {} bytes while it was read", path, size));
        PENSTOCK_TRY_VOID(sink(std::string_view(buffer.data(), static_cast<std::size_t>(got))));
        at += static_cast<std::uint64_t>(got);
        left -= static_cast<std::uint64_t>(got);
    }
    return {};
}

Result<void> DirStore::remove(std::string_view key)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    if (m_access == DirAccess::ReadOnly)
        return fail(ErrorCode::Denied, fmt::format("{} was opened for reading only", describe()));
    if (::unlinkat(m_root.get(), std::string(key).c_str(), 0) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return {};
        return fail(detail::systemError(errno, "removing " + pathOf(key)));
    }
    return m_groupSync.sync(parentOf(key));
}

Result<void> DirStore::list(std::string_view prefix, const std::function<bool(std::string_view)>& visit)
{
    return detail::listKeys({m_root.get(), m_path}, prefix, visit);
}

} // namespace penstock::cache
