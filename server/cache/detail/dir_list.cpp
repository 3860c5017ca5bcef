// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/dir_list.h"

#include "server/cache/detail/file_io.h"
#include "server/cache/object_store.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <sys/stat.h>
#include <utility>

namespace penstock::cache::detail {
namespace {

struct Listing {
    DirectoryRoot root;
    std::string_view prefix;
    const std::function<bool(std::string_view)>& visit;
};

// A directory counts with the slash that its keys have there: "nar-x" is before "nar/y".
std::string orderOf(const DirectoryEntry& entry)
{
    return entry.isDirectory ? entry.name + "/" : entry.name;
}

bool mayMatch(std::string_view key, std::string_view prefix)
{
    const std::size_t common = std::min(key.size(), prefix.size());
    return key.substr(0, common) == prefix.substr(0, common);
}

// False: the visitor has had enough.
Result<bool> listBelow(Listing& listing, const std::string& directory)
{
    const std::string name = directory.empty() ? "." : directory.substr(0, directory.size() - 1);
    auto entries = entriesOf(listing.root.descriptor, name, fmt::format("{}/{}", listing.root.path, name));
    if (!entries && entries.error().code == ErrorCode::NotFound)
        return true;
    if (!entries)
        return fail(std::move(entries).error());
    std::sort(entries->begin(), entries->end(),
              [](const auto& a, const auto& b) { return orderOf(a) < orderOf(b); });
    for (const DirectoryEntry& entry : *entries) {
        const std::string key = directory + orderOf(entry);
        if (entry.name.front() == '.' || !mayMatch(key, listing.prefix))
            continue;
        if (!entry.isDirectory) {
            if (key.size() >= listing.prefix.size() && !listing.visit(key))
                return false;
            continue;
        }
        if (key.size() > kMaxKeyBytes)
            continue; // no key of ours is there
        PENSTOCK_TRY(const bool more, listBelow(listing, key));
        if (!more)
            return false;
    }
    return true;
}

} // namespace

Result<std::vector<DirectoryEntry>> entriesOf(int base, const std::string& name, const std::string& path)
{
    const int opened = ::openat(base, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0)
        return fail(systemError(errno, "listing " + path));
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(opened), &::closedir);
    if (!stream)
        return fail(systemError(errno, "listing " + path));
    std::vector<DirectoryEntry> entries;
    for (;;) {
        errno = 0;
        const dirent* const entry = ::readdir(stream.get());
        if (entry == nullptr && errno != 0)
            return fail(systemError(errno, "listing " + path));
        if (entry == nullptr)
            return entries;
        std::string found(static_cast<const char*>(entry->d_name));
        if (found == "." || found == "..")
            continue;
        bool isDirectory = entry->d_type == DT_DIR;
        if (entry->d_type == DT_UNKNOWN || entry->d_type == DT_LNK) {
            struct stat info {};
            if (::fstatat(opened, found.c_str(), &info, 0) != 0)
                continue; // gone meanwhile, or a link to nowhere
            isDirectory = S_ISDIR(info.st_mode);
        }
        entries.push_back({std::move(found), isDirectory});
    }
}

Result<void> listKeys(DirectoryRoot root, std::string_view prefix,
                      const std::function<bool(std::string_view)>& visit)
{
    Listing listing{root, prefix, visit};
    PENSTOCK_TRY([[maybe_unused]] const bool whole, listBelow(listing, {}));
    return {};
}

} // namespace penstock::cache::detail
