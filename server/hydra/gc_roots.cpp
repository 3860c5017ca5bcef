// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/gc_roots.h"

#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>
#include <utility>

namespace penstock::hydra {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> cannot(std::string_view what, const std::string& place, const std::error_code& error)
{
    return fail(ErrorCode::Internal,
                fmt::format("{} {}: {}; outputs are not kept from garbage collection: let the server's user write "
                            "there, or name another directory by --gc-roots-dir",
                            what, place, error.message()));
}

} // namespace

GcRoots::GcRoots(std::string directory, nix::StoreDir store, Logger& logger)
    : m_directory(std::move(directory)), m_store(std::move(store)), m_logger(logger)
{
}

std::uint64_t GcRoots::nextLink()
{
    const MutexLock lock(m_mutex);
    return ++m_links;
}

Result<void> GcRoots::link(const nix::StorePath& path)
{
    const std::string root = fmt::format("{}/{}", m_directory, path.baseName());
    // Under another name first: whoever collects meanwhile sees the former link, or this one.
    const std::string making = fmt::format("{}/.new-{}-{}", m_directory, ::getpid(), nextLink());
    std::error_code error;
    fs::create_symlink(path.print(m_store), making, error);
    if (error == std::errc::file_exists) { // left behind by a process of the same number
        fs::remove(making, error);
        fs::create_symlink(path.print(m_store), making, error);
    }
    if (error)
        return cannot("linking", root, error);
    fs::rename(making, root, error);
    if (!error)
        return {};
    std::error_code ignored; // the first error is the one that counts
    fs::remove(making, ignored);
    return cannot("linking", root, error);
}

Result<void> GcRoots::add(const nix::StorePathSet& paths)
{
    if (paths.empty())
        return {};
    std::error_code error;
    fs::create_directories(m_directory, error);
    if (error)
        return cannot("making", m_directory, error);
    Result<void> first;
    for (const nix::StorePath& path : paths) {
        auto linked = link(path);
        if (!linked && first)
            first = std::move(linked);
    }
    return first;
}

void GcRoots::keep(const nix::StorePathSet& paths)
{
    if (const auto added = add(paths); !added)
        m_logger.warning("hydra.roots_failed", {{"error", added.error().message}});
}

} // namespace penstock::hydra
