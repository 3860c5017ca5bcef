// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/order.h"

#include <fmt/format.h>
#include <map>
#include <utility>

namespace penstock::cache::detail {

Result<std::vector<std::vector<std::size_t>>> roundsOf(const std::vector<nix::NarInfo>& infos)
{
    std::map<nix::StorePath, std::size_t> indexes;
    for (std::size_t i = 0; i < infos.size(); ++i)
        indexes.emplace(infos[i].path, i);
    std::vector<std::vector<std::size_t>> referrers(infos.size());
    std::vector<std::size_t> missing(infos.size(), 0);
    for (std::size_t i = 0; i < infos.size(); ++i)
        for (const nix::StorePath& reference : infos[i].references)
            if (const auto found = indexes.find(reference); found != indexes.end() && found->second != i) {
                referrers[found->second].push_back(i);
                ++missing[i];
            }
    std::vector<std::vector<std::size_t>> rounds;
    std::vector<std::size_t> next;
    for (std::size_t i = 0; i < infos.size(); ++i)
        if (missing[i] == 0)
            next.push_back(i);
    std::size_t placed = 0;
    while (!next.empty()) {
        placed += next.size();
        std::vector<std::size_t> after;
        for (const std::size_t done : next)
            for (const std::size_t referrer : referrers[done])
                if (--missing[referrer] == 0)
                    after.push_back(referrer);
        rounds.push_back(std::exchange(next, std::move(after)));
    }
    if (placed == infos.size())
        return rounds;
    for (std::size_t i = 0; i < infos.size(); ++i)
        if (missing[i] != 0)
            return fail(ErrorCode::Invalid,
                        fmt::format("{} refers in a circle to itself; nothing of it is published",
                                    infos[i].path.baseName()));
    return rounds;
}

} // namespace penstock::cache::detail
