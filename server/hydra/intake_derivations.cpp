// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/intake_derivations.h"

#include "server/cache/detail/file_io.h"
#include "server/cache/detail/parallel.h"
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

using cache::detail::Descriptor;

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
    const auto file = cache::detail::openAt(files, path.baseName(), O_RDONLY, path.print(dir));
    if (!file && file.error().code == ErrorCode::NotFound)
        return DerivationGone{};
    if (!file && file.error().code == ErrorCode::Unavailable) // of the machine, not of the file
        return fail(file.error());
    if (!file)
        return DerivationBroken{file.error().message};
    const auto text = textOf(file->get());
    if (!text)
        return DerivationBroken{text.error().message};
    return readingOf(dir, path, *text);
}

} // namespace

Result<std::vector<Reading>> DerivationReader::read(std::span<const nix::StorePath> paths) const
{
    std::vector<Reading> readings(paths.size());
    PENSTOCK_TRY(const Descriptor files,
                 cache::detail::openAt(AT_FDCWD, m_files, O_RDONLY | O_DIRECTORY, m_files));
    const std::size_t threads = std::clamp<std::size_t>(paths.size() / kPerThread, 1, kThreads);
    PENSTOCK_TRY_VOID(cache::detail::parallelFor(paths.size(), threads, [&](std::size_t item) -> Result<void> {
        if (m_stop.isCancelled())
            return fail(ErrorCode::Cancelled, "stopped while derivations were read");
        PENSTOCK_TRY(readings[item], readOne(m_dir, files.get(), paths[item]));
        return {};
    }));
    return readings;
}

} // namespace penstock::hydra
