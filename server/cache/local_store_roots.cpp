// SPDX-License-Identifier: GPL-3.0-or-later
// What of a LocalStore is kept from collection, and for how long.
#include "server/cache/local_store.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <tuple>

namespace penstock::cache {
namespace {

struct Root {
    timespec made;
    std::string link;
};

bool isOlder(const Root& one, const Root& other)
{
    return std::tie(one.made.tv_sec, one.made.tv_nsec, one.link) <
           std::tie(other.made.tv_sec, other.made.tv_nsec, other.link);
}

// Only links: whatever else lies there is not ours.
Result<std::vector<Root>> rootsIn(const std::string& directory)
{
    std::vector<Root> roots;
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
        struct stat status {};
        std::string link = at->path().string();
        if (::lstat(link.c_str(), &status) == 0 && S_ISLNK(status.st_mode))
            roots.push_back({status.st_mtim, std::move(link)});
    }
    if (error)
        return fail(ErrorCode::Unavailable, fmt::format("reading {}: {}", directory, error.message()));
    return roots;
}

} // namespace

Result<void> LocalStore::addRoots(const nix::StorePathSet& paths)
{
    if (m_options.rootsDirectory.empty())
        return {};
    for (const nix::StorePath& path : paths)
        PENSTOCK_TRY_VOID(
            m_store.addRoot(path, fmt::format("{}/{}", m_options.rootsDirectory, path.baseName())));
    const MutexLock lock(m_mutex);
    m_newRoots += paths.size();
    if (m_newRoots > m_options.maxRoots / 10)
        dropOldRoots();
    return {};
}

void LocalStore::dropOldRoots()
{
    m_newRoots = 0;
    auto roots = rootsIn(m_options.rootsDirectory);
    if (!roots) {
        m_logger.warning("cache.roots_not_counted", {{"error", roots.error().message}});
        return;
    }
    if (roots->size() <= m_options.maxRoots)
        return;
    const auto drop = static_cast<std::ptrdiff_t>(roots->size() - (m_options.maxRoots - m_options.maxRoots / 10));
    std::nth_element(roots->begin(), roots->begin() + (drop - 1), roots->end(), isOlder);
    std::size_t dropped = 0;
    for (auto root = roots->begin(); root != roots->begin() + drop; ++root) {
        std::error_code error;
        dropped += std::filesystem::remove(root->link, error) ? 1U : 0U;
    }
    m_logger.info("cache.roots_dropped", {{"directory", m_options.rootsDirectory},
                                          {"had", roots->size()},
                                          {"limit", m_options.maxRoots},
                                          {"dropped", dropped}});
}

void LocalStore::forget(std::string_view digest)
{
    std::optional<nix::StorePath> path;
    {
        const MutexLock lock(m_mutex);
        const auto found = std::ranges::find_if(
            m_staged, [digest](const auto& each) { return each.first.digest() == digest; });
        if (found != m_staged.end())
            path = found->first;
    }
    if (path)
        unstage(*path);
}

} // namespace penstock::cache
