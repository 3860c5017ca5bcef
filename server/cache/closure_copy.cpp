// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/closure_copy.h"

#include "server/cache/detail/order.h"

#include <fmt/format.h>
#include <utility>
#include <vector>

namespace penstock::cache {
namespace {

constexpr std::size_t kPublishedTogether = 500;
constexpr std::size_t kMaxLogBytes = 256U << 20U;

// Infos of what is missing at the target, in no order.
Result<std::vector<nix::NarInfo>> missingOf(OutputStore& from, OutputStore& to,
                                            const nix::StorePathSet& paths)
{
    std::vector<nix::NarInfo> missing;
    nix::StorePathSet seen;
    for (nix::StorePathSet next = paths; !next.empty();) {
        PENSTOCK_TRY(const nix::StorePathSet there, to.findMany(next));
        nix::StorePathSet found;
        for (const nix::StorePath& path : next) {
            // What is there has its references beside it: every store promises that.
            if (!seen.insert(path).second || there.contains(path))
                continue;
            PENSTOCK_TRY(auto info, from.find(path));
            if (!info)
                return fail(ErrorCode::NotFound,
                            fmt::format("{} is not in {}", path.baseName(), from.describe()));
            for (const nix::StorePath& reference : info->references)
                if (!seen.contains(reference))
                    found.insert(reference);
            missing.push_back(*std::move(info));
            if (missing.size() > kMaxCopiedPaths)
                return fail(ErrorCode::Exhausted,
                            fmt::format("a closure has more than {} paths", kMaxCopiedPaths));
        }
        next = std::move(found);
    }
    return missing;
}

Result<nix::NarInfo> copyFile(OutputStore& from, OutputStore& to, const nix::NarInfo& info,
                              const CancelToken& cancel)
{
    PENSTOCK_TRY(const compress::Method method, compress::parseMethod(info.compression));
    PENSTOCK_TRY(const auto intake, to.receive(info, method));
    const auto take = [&](std::string_view bytes) -> Result<void> {
        if (cancel.isCancelled())
            return fail(ErrorCode::Cancelled, "the copy was cancelled");
        return intake->push(bytes);
    };
    PENSTOCK_TRY_VOID(from.readFile(info, {}, take));
    return intake->finish();
}

} // namespace

Result<CopyResult> copyClosure(OutputStore& from, OutputStore& to, const nix::StorePathSet& paths,
                               const CancelToken& cancel)
{
    CopyResult result;
    PENSTOCK_TRY(const auto missing, missingOf(from, to, paths));
    PENSTOCK_TRY(const auto rounds, detail::roundsOf(missing));
    std::vector<nix::NarInfo> staged;
    for (const auto& round : rounds)
        for (const std::size_t i : round) {
            PENSTOCK_TRY(auto info, copyFile(from, to, missing[i], cancel));
            ++result.paths;
            result.bytes += info.fileSize.value_or(0);
            staged.push_back(std::move(info));
            if (staged.size() >= kPublishedTogether)
                PENSTOCK_TRY_VOID(to.publish(std::exchange(staged, {})));
        }
    if (!staged.empty())
        PENSTOCK_TRY_VOID(to.publish(std::move(staged)));
    return result;
}

Result<void> copyLog(OutputStore& from, OutputStore& to, const std::string& drvBaseName)
{
    PENSTOCK_TRY(const auto log, from.getLog(drvBaseName, kMaxLogBytes));
    if (!log)
        return {};
    std::string_view rest = *log;
    return to.putLog(drvBaseName, [&rest](std::span<char> buffer) -> Result<std::size_t> {
        const std::size_t count = rest.copy(buffer.data(), buffer.size());
        rest.remove_prefix(count);
        return count;
    });
}

} // namespace penstock::cache
