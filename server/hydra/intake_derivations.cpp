// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/intake_derivations.h"

#include "server/cache/parallel.h"
#include "shared/nix/drv.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace penstock::hydra {
namespace {

struct Closer {
    ~Closer() { ::close(descriptor); }
    int descriptor;
};

// Errors: NotFound; Denied; Unavailable for those of the machine, not of the file.
Result<int> openFile(int base, const std::string& name, int flags)
{
    int opened = -1;
    do
        opened = ::openat(base, name.c_str(), flags | O_CLOEXEC);
    while (opened < 0 && errno == EINTR);
    if (opened >= 0)
        return opened;
    const auto code = errno == ENOENT ? ErrorCode::NotFound
                      : errno == EACCES || errno == ELOOP ? ErrorCode::Denied
                                                          : ErrorCode::Unavailable;
    return fail(code, fmt::format("cannot open {}: {}", name, std::generic_category().message(errno)));
}

constexpr std::size_t kThreads = 3;
constexpr std::size_t kPerThread = 16; // fewer are not worth another one

// An error of the file itself, as text.
Result<std::string> textOf(int descriptor)
{
    std::string text;
    std::array<char, 16U << 10U> piece{};
    for (;;) {
        const ssize_t got = ::read(descriptor, piece.data(), piece.size());
        if (got == 0)
            return text;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(ErrorCode::Corrupt,
                        fmt::format("cannot be read: {}", std::generic_category().message(errno)));
        text.append(piece.data(), static_cast<std::size_t>(got));
        if (text.size() > nix::kMaxDerivationBytes)
            return fail(ErrorCode::Exhausted,
                        fmt::format("is larger than the limit of {} bytes", nix::kMaxDerivationBytes));
    }
}

Result<Reading> readOne(const nix::StoreDir& dir, int files, const nix::StorePath& path)
{
    const auto file = openFile(files, path.baseName(), O_RDONLY);
    if (!file && file.error().code == ErrorCode::NotFound)
        return DerivationGone{};
    if (!file && file.error().code == ErrorCode::Unavailable) // of the machine, not of the file
        return fail(file.error());
    if (!file)
        return DerivationBroken{file.error().message};
    const Closer closer{*file};
    const auto text = textOf(*file);
    if (!text)
        return DerivationBroken{text.error().message};
    return readingOf(dir, path, *text);
}

} // namespace

Result<std::vector<Reading>> DerivationReader::read(std::span<const nix::StorePath> paths) const
{
    std::vector<Reading> readings(paths.size());
    const auto files = openFile(AT_FDCWD, m_files, O_RDONLY | O_DIRECTORY);
    if (!files)
        return fail(ErrorCode::Unavailable, "the store's directory: " + files.error().message);
    const Closer closer{*files};
    const std::size_t threads = std::clamp<std::size_t>(paths.size() / kPerThread, 1, kThreads);
    PENSTOCK_TRY_VOID(cache::parallelFor(paths.size(), threads, [&](std::size_t item) -> Result<void> {
        if (m_stop.isCancelled())
            return fail(ErrorCode::Cancelled, "stopped while derivations were read");
        PENSTOCK_TRY(readings[item], readOne(m_dir, *files, paths[item]));
        return {};
    }));
    return readings;
}

} // namespace penstock::hydra
