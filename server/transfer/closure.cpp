// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/transfer/closure.h"

#include <fmt/format.h>

#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

namespace penstock::transfer {
namespace {

using Info = std::shared_ptr<const nix::NarInfo>;

Result<Info> lookUp(cache::OutputStore& store, InfoMemo& memo, const nix::StorePath& path)
{
    if (auto known = memo.find(path))
        return known;
    PENSTOCK_TRY(auto found, store.find(path));
    if (!found)
        return Info();
    auto info = std::make_shared<const nix::NarInfo>(*std::move(found));
    memo.keep(info);
    return info;
}

// A path on the way down, and the reference of it that is looked at next.
struct Open {
    Info info;
    nix::StorePathSet::const_iterator next;
};

} // namespace

Result<void> walkClosure(cache::OutputStore& store, InfoMemo& memo, const nix::StorePathSet& roots,
                         const std::function<Result<void>(const nix::NarInfo&)>& visit, std::size_t maxPaths)
{
    std::unordered_set<nix::StorePath> seen;
    std::vector<Open> open;
    const auto enter = [&](const nix::StorePath& path) -> Result<void> {
        if (!seen.insert(path).second)
            return {};
        if (seen.size() > maxPaths)
            return fail(ErrorCode::Exhausted,
                        fmt::format("the closure has more than {} paths, the limit; ask for fewer at once", maxPaths));
        PENSTOCK_TRY(auto info, lookUp(store, memo, path));
        if (info) {
            const auto first = info->references.begin();
            open.push_back({std::move(info), first});
        }
        return {};
    };
    for (const auto& root : roots) {
        PENSTOCK_TRY_VOID(enter(root));
        while (!open.empty()) {
            auto& top = open.back();
            if (top.next != top.info->references.end()) {
                const auto& reference = *top.next++;
                PENSTOCK_TRY_VOID(enter(reference)); // top is not valid any more
                continue;
            }
            const auto info = std::move(top.info);
            open.pop_back();
            PENSTOCK_TRY_VOID(visit(*info));
        }
    }
    return {};
}

} // namespace penstock::transfer
