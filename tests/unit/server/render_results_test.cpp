// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/render.h"

#include <gtest/gtest.h>

namespace penstock::http {
namespace {

work::AttemptProgress ended()
{
    work::AttemptProgress progress;
    progress.state = work::AttemptState::Ended;
    progress.end = work::AttemptEnd::Cached;
    progress.outputs = {{"dev", "/nix/store/a-dev", "sha256:0", 5}, {"out", "/nix/store/a", "", 7}};
    work::BuildResults results;
    results.products = {{"doc", "manual", "out", "share", "index.html", "share", work::ProductKind::Directory, 0, ""},
                        {"file", "iso", "dev", "", "", "a \"b", work::ProductKind::File, 9, "ff"},
                        {"x", "", "gone", "y", "", "", work::ProductKind::Unknown, 0, ""}};
    results.metrics = {{"time", -1.5, "s"}, {"n", 2, ""}};
    results.releaseName = "a-1";
    results.failed = true;
    results.closureSize = 99;
    progress.results = std::move(results);
    return progress;
}

std::string textOf(const work::AttemptProgress& progress)
{
    JsonWriter out;
    out.beginObject();
    fieldsResults(out, progress);
    out.endObject();
    return std::move(out).take();
}

TEST(RenderResults, TellsAllThatABuildSays)
{
    EXPECT_EQ(textOf(ended()),
              R"({"products":[{"type":"doc","subtype":"manual","name":"share","path":"/nix/store/a/share",)"
              R"("output":"out",)"
              R"("default_path":"index.html","kind":"directory","size_bytes":null,"sha256":null},)"
              R"({"type":"file","subtype":"iso","name":"a \"b","path":"/nix/store/a-dev","output":"dev",)"
              R"("default_path":null,"kind":"file","size_bytes":9,"sha256":"ff"},)"
              R"({"type":"x","subtype":"","name":"","path":null,"output":"gone","default_path":null,"kind":"unknown",)"
              R"("size_bytes":null,"sha256":null}],"metrics":[{"name":"time","value":-1.5,"unit":"s"},)"
              R"({"name":"n","value":2,"unit":null}],"release_name":"a-1","failed":true,"size_bytes":12,)"
              R"("closure_size_bytes":99})");
}

TEST(RenderResults, HaveTheSameKeysWhenThereAreNone)
{
    EXPECT_EQ(textOf({}), R"({"products":[],"metrics":[],"release_name":null,"failed":false,"size_bytes":null,)"
                          R"("closure_size_bytes":null})");
}

TEST(RenderResults, StandInAJobForItsRootsThatHaveEndedWell)
{
    work::StepSpec spec;
    spec.name = "hello";
    spec.work = std::make_shared<const work::Work>(work::NixWork{"/nix/store/a.drv", "", {}, {}});
    store::StepView built{{StepId(3), spec, {}, {}}, {}, true, {}, {}};
    built.newest = work::AttemptRow{AttemptId(4), StepId(3), JobId(1), MachineId(1), 1, {}, ended()};
    store::StepView failed = built;
    failed.newest->progress.end = work::AttemptEnd::Failed;
    store::StepView waiting = built;
    waiting.newest.reset();
    store::StepView command = built;
    command.row.spec.work = std::make_shared<const work::Work>(work::CommandWork{{"true"}, {}});
    const store::JobView job{{JobId(1), {}, {}, {}, 1}};
    JsonWriter out;
    writeJob(out, job, std::vector<store::StepView>{failed, waiting, command, built});
    const std::string text = std::move(out).take();
    EXPECT_NE(text.find(R"("definition":null,"results":[{"step":3,"run":4,"name":"hello","outputs":[{"name":"dev",)"
                        R"("path":"/nix/store/a-dev","nar_hash":"sha256:0","nar_size_bytes":5},)"),
              std::string::npos)
        << text;
    EXPECT_EQ(text.find("\"run\""), text.rfind("\"run\"")) << "only one";
    JsonWriter step;
    writeStep(step, built);
    EXPECT_NE(std::move(step).take().find(R"("failed_with_output":true)"), std::string::npos);
}

} // namespace
} // namespace penstock::http
