// SPDX-License-Identifier: GPL-3.0-or-later
// Content-addressed outputs: their paths are known when they are built, and reach whoever waits for them.
#include "tests/unit/core/farm_fixture.h"

namespace penstock::core::test {
namespace {

using protocol::Outcome;

struct ResolvedInputs : FarmTest {
    static work::StepSpec floating(const std::string& name)
    {
        work::StepSpec spec = nixStep(name);
        work::NixWork work = std::get<work::NixWork>(*spec.work);
        work.outputs = {{"dev", ""}, {"out", ""}};
        spec.work = std::make_shared<const work::Work>(std::move(work));
        return spec;
    }
    // a and b reveal their outputs' paths; c needs a and the ordinary d.
    static JobRequest job()
    {
        JobRequest job = nixJob("job", {"a", "d", "c"}, {{2, 0}, {2, 1}});
        job.steps.at(0).spec = floating("a");
        return job;
    }
    void finishWith(SessionId session, AttemptId attempt, std::vector<protocol::NixOutput> outputs)
    {
        protocol::AttemptResult end = result(attempt, Outcome::Succeeded);
        end.outputs = std::move(outputs);
        send(core::AttemptFinished{session, std::move(end)});
    }
};

TEST_F(ResolvedInputs, ReachTheStepThatNeedsThem)
{
    const JobId id = submit(job());
    const SessionId session = connect("one", 2);
    const auto first = assigned();
    ASSERT_EQ(first.size(), 2U);
    for (const AttemptId attempt : first) {
        const bool isFloating = core->attempt(attempt)->step == stepOf(id, 0);
        finishWith(session, attempt, isFloating ? std::vector<protocol::NixOutput>{{"dev", "/nix/store/a-dev", "", 1},
                                                                                   {"out", "/nix/store/a-out", "", 1}}
                                                : std::vector<protocol::NixOutput>{{"out", "/nix/store/d", "", 1}});
    }
    const std::vector<protocol::ResolvedInput> expected{{"/nix/store/a.drv", "dev", "/nix/store/a-dev"},
                                                        {"/nix/store/a.drv", "out", "/nix/store/a-out"}};
    EXPECT_EQ(std::get<protocol::NixWork>(assignment().work).resolved, expected);

    // The same after a restart of the server, when the step is assigned anew.
    recover();
    const SessionId again = connectAs(std::string(32, 'b'), std::string(32, '7'), machineFacts("one", 1));
    report(again, {});
    ASSERT_EQ(assigned().size(), 1U);
    EXPECT_EQ(std::get<protocol::NixWork>(assignment().work).resolved, expected);
}

TEST_F(ResolvedInputs, ASuccessWithoutThePromisedPathIsTheMachinesFault)
{
    const JobId id = submit(job());
    const SessionId session = connect("one", 1);
    while (core->attempt(onlyAssigned())->step != stepOf(id, 0))
        finish(session, onlyAssigned());
    finishWith(session, onlyAssigned(), {{"out", "/nix/store/a-out", "", 1}});
    const work::StepProgress progress = progressOf(stepOf(id, 0));
    EXPECT_EQ(progress.state, work::StepState::Delayed);
    EXPECT_NE(progress.error.find("output dev of a"), std::string::npos) << progress.error;
}

} // namespace
} // namespace penstock::core::test
