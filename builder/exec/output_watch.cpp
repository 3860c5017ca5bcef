// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/output_watch.h"

#include <algorithm>
#include <dirent.h>
#include <fcntl.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace penstock::builder {
namespace {

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

Directory openFolder(const std::string& path)
{
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return nullptr;
    Directory directory(::fdopendir(fd));
    if (!directory)
        ::close(fd);
    return directory;
}

} // namespace

std::uint64_t measureFolder(const std::string& folder, std::size_t maxEntries)
{
    std::uint64_t bytes = 0;
    std::size_t entries = 0;
    std::vector<std::string> waiting{folder}; // at most maxEntries
    while (!waiting.empty()) {
        const std::string path = std::move(waiting.back());
        waiting.pop_back();
        const Directory directory = openFolder(path);
        while (directory) {
            const dirent* const entry = ::readdir(directory.get());
            if (entry == nullptr)
                break;
            const std::string_view name = entry->d_name;
            if (name == "." || name == "..")
                continue;
            if (++entries > maxEntries)
                return bytes;
            struct stat info = {};
            if (::fstatat(::dirfd(directory.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
                continue;
            if (S_ISDIR(info.st_mode))
                waiting.push_back(path + "/" + entry->d_name);
            else if (S_ISREG(info.st_mode))
                bytes += static_cast<std::uint64_t>(info.st_size);
        }
    }
    return bytes;
}

OutputWatch::OutputWatch(Loop& loop, Loop& cleaner, std::string folder, Found found)
    : m_loop(loop), m_cleaner(cleaner), m_folder(std::move(folder)), m_found(std::move(found))
{
    measureAt(SystemClock{}.now().mono + kMeasureEvery);
}

OutputWatch::~OutputWatch()
{
    if (m_timer)
        m_loop.cancel(*m_timer);
}

void OutputWatch::finish(Found last)
{
    m_loop.checkHere();
    if (m_timer)
        m_loop.cancel(*std::exchange(m_timer, std::nullopt));
    m_found = std::move(last);
    m_finishing = true;
    measure();
}

void OutputWatch::measureAt(Instant at)
{
    m_timer = m_loop.postAt(at, [this] {
        m_timer.reset();
        measure();
    });
}

void OutputWatch::measure()
{
    m_walkBegan = SystemClock{}.now().mono;
    const std::uint64_t walk = ++m_walk;
    m_cleaner.post([this, walk, folder = m_folder, &loop = m_loop, alive = std::weak_ptr<const bool>(m_alive)] {
        if (alive.expired())
            return;
        loop.post([this, walk, alive, bytes = measureFolder(folder)] {
            if (!alive.expired()) // only the loop ends it, so it stays until we are done
                arrived(walk, bytes);
        });
    });
}

void OutputWatch::arrived(std::uint64_t walk, std::uint64_t bytes)
{
    if (walk != m_walk)
        return;
    const Instant now = SystemClock{}.now().mono;
    if (!m_finishing)
        measureAt(now + std::max<Duration>(kMeasureEvery, 10 * (now - m_walkBegan)));
    const Found found = m_found; // a copy: it may destroy this
    found(bytes);
}

} // namespace penstock::builder
