// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/server/fake_hydra.h"

#include "server/http/render_hydra.h"

#include <fmt/format.h>

#include <utility>

namespace penstock::test {
namespace {

template <class T> http::HydraList<T> pageOf(const std::vector<T>& all, http::HydraPage page)
{
    http::HydraList<T> list;
    list.total = all.size();
    for (const T& item : all) {
        if (item.id <= page.after)
            continue;
        if (list.items.size() == page.limit) {
            list.next = list.items.back().id;
            break;
        }
        list.items.push_back(item);
    }
    return list;
}

} // namespace

template <class T> void FakeHydra::give(http::Answer<T> answer, T value) const
{
    if (trouble)
        return answer(fail(*trouble));
    answer(std::move(value));
}

http::HydraText FakeHydra::text() const
{
    http::JsonWriter out;
    out.beginObject();
    for (const auto& machine : fleet) {
        out.key(machine.key);
        http::writeHydraMachine(out, machine);
    }
    out.endObject();
    return std::make_shared<const std::string>(std::move(out).take());
}

void FakeHydra::status(http::Answer<http::HydraStatus> answer)
{
    give(std::move(answer), http::HydraStatus{farm, text(), groups});
}

void FakeHydra::machines(http::Answer<http::HydraMachines> answer)
{
    give(std::move(answer), http::HydraMachines{text(), fleet.size()});
}

void FakeHydra::jobsets(http::Answer<std::vector<http::HydraJobset>> answer)
{
    give(std::move(answer), groups);
}

void FakeHydra::builds(http::HydraPage page, http::Answer<http::HydraList<http::HydraBuild>> answer)
{
    give(std::move(answer), pageOf(queued, page));
}

void FakeHydra::steps(http::HydraSteps which, http::HydraPage page,
                      http::Answer<http::HydraList<http::HydraStep>> answer)
{
    std::vector<http::HydraStep> chosen;
    for (const auto& step : live)
        if (which == http::HydraSteps::Live || (which == http::HydraSteps::Runnable && step.isRunnable) ||
            (which == http::HydraSteps::Scheduled && step.isScheduled) ||
            (which == http::HydraSteps::Queued && (step.isRunnable || step.isScheduled)))
            chosen.push_back(step);
    give(std::move(answer), pageOf(chosen, page));
}

void FakeHydra::uploads(std::uint32_t limit, http::Answer<http::HydraList<std::string>> answer)
{
    http::HydraList<std::string> list;
    list.total = 2;
    list.items.emplace_back("/nix/store/a");
    if (limit > 1)
        list.items.emplace_back("/nix/store/b");
    else
        list.isTotalLeast = true;
    give(std::move(answer), std::move(list));
}

void FakeHydra::isActive(std::uint64_t build, http::Answer<bool> answer)
{
    give(std::move(answer), unfinished.contains(build));
}

void FakeHydra::did(const std::string& what, const http::Answer<void>& answer)
{
    calls.push_back(what);
    if (trouble)
        return answer(fail(*trouble));
    if (!isServed)
        return answer(fail(ErrorCode::NotFound, "this server serves no Hydra"));
    answer({});
}

void FakeHydra::addBuild(std::int64_t jobset, std::string drv, http::Answer<void> answer)
{
    did(fmt::format("add {} {}", jobset, drv), answer);
}

void FakeHydra::loadBuild(std::uint64_t build, http::Answer<void> answer)
{
    did(fmt::format("load {}", build), answer);
}

} // namespace penstock::test
