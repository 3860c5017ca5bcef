// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/orphans.h"

#include "server/cache/detail/encoding.h"
#include "shared/nix/narinfo.h"

#include <fmt/format.h>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace penstock::cache {
namespace {

constexpr std::string_view kInfoEnding = ".narinfo";
constexpr std::string_view kUrl = "URL: ";

// The line alone: a narinfo of another store directory names its file as well.
Result<std::string> urlOf(DirStore& store, const std::string& key)
{
    PENSTOCK_TRY(auto stored, store.getText(key, nix::kMaxNarInfoBytes));
    PENSTOCK_TRY(const auto text, detail::decodeText(std::move(stored), {}, nix::kMaxNarInfoBytes));
    const std::size_t at = text.starts_with(kUrl) ? 0 : text.find(fmt::format("\n{}", kUrl));
    if (at == std::string::npos)
        return fail(ErrorCode::Corrupt, fmt::format("{} of {} names no file; mend or remove it", key,
                                                    store.describe()));
    const std::size_t begin = text.find(kUrl, at) + kUrl.size();
    return text.substr(begin, text.find('\n', begin) - begin);
}

// False: more than the limit.
Result<bool> findOldNars(DirStore& store, WallTime limit, std::size_t most, std::unordered_set<std::string>& found)
{
    bool isWhole = true;
    Result<void> failed;
    PENSTOCK_TRY_VOID(store.list("nar/", [&](std::string_view key) {
        const auto modified = store.modifiedAt(key);
        if (!modified) {
            failed = fail(modified.error());
            return false;
        }
        if (*modified && **modified < limit)
            found.emplace(key);
        isWhole = found.size() <= most;
        return isWhole;
    }));
    PENSTOCK_TRY_VOID(failed);
    return isWhole;
}

// False: it takes too long.
Result<bool> leaveNamed(DirStore& store, const Clock& clock, Instant deadline, std::unordered_set<std::string>& nars)
{
    bool isWhole = true;
    Result<void> failed;
    PENSTOCK_TRY_VOID(store.list("", [&](std::string_view key) {
        isWhole = clock.now().mono < deadline;
        if (!isWhole || nars.empty())
            return false;
        if (!key.ends_with(kInfoEnding))
            return true;
        const auto url = urlOf(store, std::string(key));
        if (!url) {
            failed = fail(url.error());
            return url.error().code == ErrorCode::NotFound; // removed meanwhile
        }
        nars.erase(*url);
        return true;
    }));
    if (!failed && failed.error().code != ErrorCode::NotFound)
        return fail(std::move(failed).error());
    return isWhole;
}

} // namespace

Result<OrphanSweep> removeOrphanNars(DirStore& store, const Clock& clock, OrphanLimits limits)
{
    const Now now = clock.now();
    std::unordered_set<std::string> nars;
    PENSTOCK_TRY(const bool isListed,
                 findOldNars(store, WallTime{now.wall.sinceEpoch - limits.age}, limits.maxFiles, nars));
    if (!isListed)
        return OrphanSweep{0, false};
    if (nars.empty())
        return OrphanSweep{};
    PENSTOCK_TRY(const bool isRead, leaveNamed(store, clock, now.mono + limits.patience, nars));
    if (!isRead)
        return OrphanSweep{0, false};
    for (const std::string& key : nars)
        PENSTOCK_TRY_VOID(store.remove(key));
    return OrphanSweep{nars.size(), true};
}

} // namespace penstock::cache
