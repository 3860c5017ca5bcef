// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixstore/store_access.h"

#include <map>
#include <utility>

#include <fmt/format.h>

namespace penstock::nixstore {
namespace {

using Known = std::map<nix::StorePath, nix::NarInfo>;

// Depth first without recursion: a chain of references may be as long as the closure.
class Ordering {
public:
    explicit Ordering(Known& known) : m_known(known) {}

    Result<std::vector<nix::NarInfo>> run()
    {
        for (const auto& [path, info] : m_known)
            PENSTOCK_TRY_VOID(visit(path));
        std::vector<nix::NarInfo> ordered;
        ordered.reserve(m_order.size());
        for (const nix::StorePath* path : m_order)
            ordered.push_back(std::move(m_known.at(*path)));
        return ordered;
    }

private:
    enum class Mark : std::uint8_t { Open, Finished };
    struct Step {
        const nix::StorePath* path;
        nix::StorePathSet::const_iterator next; // of the path's references
    };

    Result<void> visit(const nix::StorePath& root)
    {
        if (m_marks.contains(&root))
            return {};
        open(m_known.find(root));
        while (!m_stack.empty()) {
            Step& step = m_stack.back();
            if (step.next == m_known.at(*step.path).references.end()) {
                m_marks[step.path] = Mark::Finished;
                m_order.push_back(step.path);
                m_stack.pop_back();
                continue;
            }
            const auto needed = m_known.find(*step.next++);
            if (&needed->first == step.path)
                continue; // it refers to itself
            const auto mark = m_marks.find(&needed->first);
            if (mark == m_marks.end())
                open(needed);
            else if (mark->second == Mark::Open)
                return fail(
                    ErrorCode::Corrupt,
                    fmt::format("the store says that {} and {} refer to each other; check it with nix-store "
                                "--verify",
                                m_stack.back().path->baseName(), needed->first.baseName()));
        }
        return {};
    }
    void open(Known::const_iterator found)
    {
        m_marks[&found->first] = Mark::Open;
        m_stack.push_back({&found->first, found->second.references.begin()});
    }

    Known& m_known;
    std::map<const nix::StorePath*, Mark> m_marks;
    std::vector<Step> m_stack;
    std::vector<const nix::StorePath*> m_order;
};

} // namespace

Result<std::vector<nix::NarInfo>> StoreAccess::infos(const nix::StorePathSet& paths)
{
    std::vector<nix::NarInfo> found;
    for (const nix::StorePath& path : paths) {
        PENSTOCK_TRY(auto known, info(path));
        if (known)
            found.push_back(*std::move(known));
    }
    return found;
}

Result<void> StoreAccess::addNars(const std::vector<NarToTake>& nars, std::size_t& added)
{
    for (added = 0; added < nars.size(); ++added)
        PENSTOCK_TRY_VOID(addNar(nars[added].info, nars[added].nar));
    return {};
}

Result<std::vector<nix::NarInfo>> closureOf(StoreAccess& store, const nix::StorePathSet& paths,
                                            std::size_t maxPaths)
{
    Known known;
    nix::StorePathSet wave = paths;
    while (!wave.empty()) {
        if (known.size() + wave.size() > maxPaths)
            return fail(
                ErrorCode::Exhausted,
                fmt::format("the closure has more than {} paths; raise the limit or ask for less", maxPaths));
        PENSTOCK_TRY(auto infos, store.infos(wave));
        nix::StorePathSet missing = std::exchange(wave, {});
        for (nix::NarInfo& info : infos) {
            missing.erase(info.path);
            wave.insert(info.references.begin(), info.references.end());
            known.emplace(info.path, std::move(info));
        }
        if (!missing.empty())
            return fail(ErrorCode::NotFound,
                        fmt::format("{} is not valid in the store, and {} more of the closure",
                                    missing.begin()->print(store.storeDir()), missing.size() - 1));
        for (auto path = wave.begin(); path != wave.end();)
            path = known.contains(*path) ? wave.erase(path) : std::next(path);
    }
    return Ordering(known).run();
}

} // namespace penstock::nixstore
