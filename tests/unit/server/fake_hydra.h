// SPDX-License-Identifier: GPL-3.0-or-later
// FakeHydra: a Hydra in memory behind HTTP's HydraGateway; answers at once. Test code; one thread.
#pragma once

#include "server/http/hydra_gateway.h"

#include <set>

namespace penstock::test {

class FakeHydra final : public http::HydraGateway {
public:
    http::HydraFarm farm;
    std::vector<http::HydraMachine> fleet;
    std::vector<http::HydraJobset> groups;
    std::vector<http::HydraBuild> queued; // by id
    std::vector<http::HydraStep> live;    // by id
    std::set<std::uint64_t> unfinished;
    std::vector<std::string> calls;
    std::optional<Error> trouble; // what everything answers
    bool isServed = true;

    void status(http::Answer<http::HydraStatus> answer) override;
    void machines(http::Answer<http::HydraMachines> answer) override;
    void jobsets(http::Answer<std::vector<http::HydraJobset>> answer) override;
    void builds(http::HydraPage page, http::Answer<http::HydraList<http::HydraBuild>> answer) override;
    void steps(http::HydraSteps which, http::HydraPage page,
               http::Answer<http::HydraList<http::HydraStep>> answer) override;
    void uploads(std::uint32_t limit, http::Answer<http::HydraList<std::string>> answer) override;
    void isActive(std::uint64_t build, http::Answer<bool> answer) override;
    void addBuild(std::int64_t jobset, std::string drv, http::Answer<void> answer) override;
    void loadBuild(std::uint64_t build, http::Answer<void> answer) override;

private:
    [[nodiscard]] http::HydraText text() const;
    template <class T> void give(http::Answer<T> answer, T value) const;
    void did(const std::string& what, const http::Answer<void>& answer);
};

} // namespace penstock::test
