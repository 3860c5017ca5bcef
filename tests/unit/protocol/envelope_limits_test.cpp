// SPDX-License-Identifier: GPL-3.0-or-later
// Every limit at its value and one above, and every check that is not a limit.
#include "shared/protocol/envelope.h"

#include "tests/unit/protocol/envelope_samples.h"

#include "proto/link.pb.h"

#include <functional>
#include <gtest/gtest.h>
#include <limits>
#include <map>

namespace penstock::protocol {
namespace {

template <class T> T sample()
{
    for (const BuilderMessage& message : builderSamples()) {
        if (const T* found = std::get_if<T>(&message))
            return *found;
    }
    return {};
}

// The error of a message after its change; empty when it is still good.
template <class T> std::string errorOf(const std::function<void(T&)>& change)
{
    T message = sample<T>();
    change(message);
    const auto back = throughWire(BuilderMessage(message));
    if (back)
        return {};
    EXPECT_EQ(back.error().code, ErrorCode::Invalid);
    return back.error().message;
}

template <class T>
void expectLimit(const std::function<void(T&, std::size_t)>& fill, std::size_t limit, const char* field)
{
    EXPECT_EQ(errorOf<T>([&](T& m) { fill(m, limit); }), "") << field;
    const std::string error = errorOf<T>([&](T& m) { fill(m, limit + 1); });
    EXPECT_NE(error.find(field), std::string::npos) << field << ": " << error;
    EXPECT_NE(error.find(std::to_string(limit)), std::string::npos) << field << ": " << error;
}

TEST(EnvelopeLimits, HoldForHelloAndFacts)
{
    expectLimit<Hello>([](Hello& m, std::size_t n) { m.version.assign(n, 'v'); }, kMaxNameBytes, "version");
    expectLimit<Hello>([](Hello& m, std::size_t n) { m.features.assign(n, "f"); }, kMaxNames, "features");
    expectLimit<Hello>([](Hello& m, std::size_t n) { m.features = {std::string(n, 'f')}; }, kMaxNameBytes, "features");
    expectLimit<Hello>([](Hello& m, std::size_t n) { m.facts.name.assign(n, 'n'); }, kMaxNameBytes, "name");
    expectLimit<Hello>([](Hello& m, std::size_t n) { m.facts.storeDir.assign(n, '/'); }, kMaxPathBytes, "store_dir");
    expectLimit<Hello>([](Hello& m, std::size_t n) { m.facts.maxJobs = static_cast<std::uint32_t>(n); }, kMaxSlots,
                       "max_jobs");
    expectLimit<Hello>([](Hello& m, std::size_t n) { m.facts.cores = static_cast<std::uint32_t>(n); },
                       kMaxCores, "cores");
    expectLimit<Hello>(
        [](Hello& m, std::size_t n) {
            m.facts.resources.clear();
            for (std::size_t i = 0; i < n; ++i)
                m.facts.resources[std::to_string(i)] = i;
        },
        kMaxNames, "resources");
    expectLimit<Hello>([](Hello& m, std::size_t n) { m.facts.resources = {{"gpu", n}}; }, kMaxAmount, "resources");
}

std::string rejectOf(const std::map<std::string, std::uint64_t>& granted)
{
    Desired desired;
    desired.assign = {sampleAssignment()};
    desired.assign[0].resources = granted;
    const auto back = throughWire(ServerMessage(desired));
    if (!back || !*back)
        return "the whole message is refused";
    const auto& read = std::get<Desired>(**back);
    if (read.bad.empty())
        return read.assign.size() == 1 && read.assign[0].resources == granted ? "" : "changed";
    return read.bad[0].text;
}

TEST(EnvelopeLimits, HoldForGrantedResources)
{
    std::map<std::string, std::uint64_t> many;
    for (std::size_t i = 0; i < kMaxNames; ++i)
        many[std::to_string(i)] = i + 1;
    EXPECT_EQ(rejectOf(many), "");
    many["one more"] = 1;
    EXPECT_NE(rejectOf(many).find(std::to_string(kMaxNames)), std::string::npos) << rejectOf(many);
    EXPECT_EQ(rejectOf({{std::string(kMaxNameBytes, 'n'), 1}}), "");
    EXPECT_NE(rejectOf({{std::string(kMaxNameBytes + 1, 'n'), 1}}).find("resources"), std::string::npos);
    EXPECT_EQ(rejectOf({{"gpu", kMaxAmount}}), "");
    EXPECT_NE(rejectOf({{"gpu", kMaxAmount + 1}}).find(std::to_string(kMaxAmount)), std::string::npos);
    EXPECT_NE(rejectOf({{"", 1}}).find("empty"), std::string::npos);
    EXPECT_NE(rejectOf({{"g\tpu", 1}}).find("control"), std::string::npos);
}

TEST(EnvelopeLimits, HoldForTextsAndLogs)
{
    expectLimit<AttemptAnswer>([](AttemptAnswer& m, std::size_t n) { m.text.assign(n, 't'); }, kMaxNoteBytes, "text");
    expectLimit<Drain>([](Drain& m, std::size_t n) { m.note.assign(n, 't'); }, kMaxNoteBytes, "note");
    expectLimit<AttemptResult>([](AttemptResult& m, std::size_t n) { m.error.assign(n, 't'); },
                               kMaxErrorBytes, "error");
    expectLimit<AttemptResult>(
        [](AttemptResult& m, std::size_t n) {
            m.outputs.assign(n, {"o", "p", "", 0});
        },
        kMaxOutputs, "outputs");
    expectLimit<AttemptProgress>([](AttemptProgress& m, std::size_t n) { m.phase.assign(n, 'p'); },
                                 kMaxNameBytes, "phase");
    expectLimit<LogChunk>([](LogChunk& m, std::size_t n) { m.records = {{{}, Stream::Out, std::string(n, 'l')}}; },
                          kMaxLogRecordBytes, "records.data");
    expectLimit<LogChunk>(
        [](LogChunk& m, std::size_t n) {
            m.records.assign(n, {{}, Stream::Out, "l"});
        },
        kMaxLogRecords, "records");
    expectLimit<LogChunk>(
        [](LogChunk& m, std::size_t n) {
            m.records.assign(4, {{}, Stream::Out, std::string(kMaxLogChunkBytes / 4, 'l')});
            m.records.resize(n > kMaxLogChunkBytes ? 5 : 4, {{}, Stream::Out, "x"});
        },
        kMaxLogChunkBytes, "records");
    expectLimit<Report>(
        [](Report& m, std::size_t n) {
            m.held.assign(n, {AttemptId(1), false});
        },
        kMaxHeldAttempts, "held");
}

BuildProduct productAt(std::string path)
{
    BuildProduct product;
    product.type = "t";
    product.output = "o";
    product.path = std::move(path);
    return product;
}

TEST(EnvelopeLimits, HoldForResults)
{
    using R = AttemptResult;
    expectLimit<R>([](R& m, std::size_t n) { m.results.products.assign(n, productAt("")); }, kMaxProducts,
                   "nix_results.products");
    expectLimit<R>([](R& m, std::size_t n) { m.results.metrics.assign(n, {"m", 1, ""}); }, kMaxMetrics,
                   "nix_results.metrics");
    expectLimit<R>([](R& m, std::size_t n) { m.results.releaseName.assign(n, 'r'); }, kMaxNameBytes, "release_name");
    expectLimit<R>([](R& m, std::size_t n) { m.results.products[0].type.assign(n, 't'); }, kMaxNameBytes,
                   "products.type");
    expectLimit<R>([](R& m, std::size_t n) { m.results.products[0].output.assign(n, 'o'); }, kMaxNameBytes,
                   "products.output");
    expectLimit<R>([](R& m, std::size_t n) { m.results.products[0].name.assign(n, 'n'); }, kMaxNameBytes,
                   "products.name");
    expectLimit<R>([](R& m, std::size_t n) { m.results.products[0].path.assign(n, 'p'); }, kMaxPathBytes,
                   "products.path");
    expectLimit<R>([](R& m, std::size_t n) { m.results.products[0].defaultPath.assign(n, 'p'); }, kMaxPathBytes,
                   "products.default_path");
    expectLimit<R>([](R& m, std::size_t n) { m.results.metrics[0].name.assign(n, 'm'); }, kMaxNameBytes,
                   "metrics.name");
    expectLimit<R>([](R& m, std::size_t n) { m.results.metrics[0].unit.assign(n, 'u'); }, kMaxNameBytes,
                   "metrics.unit");
    expectLimit<R>([](R& m, std::size_t n) { m.results.closureSize = n; }, INT64_MAX, "closure_bytes");
    expectLimit<R>([](R& m, std::size_t n) { m.results.products[0].size = n; }, INT64_MAX, "products.size");
    expectLimit<R>([](R& m, std::size_t n) { m.outputs = {{"o", "p", "", n}}; }, INT64_MAX, "outputs.nar_size");
    expectLimit<R>([](R& m, std::size_t n) { m.effort.rounds = static_cast<std::uint32_t>(n); }, kMaxRounds, "rounds");
    const auto fillAll = [](R& m, std::size_t bytes) {
        m.results = {};
        while (m.results.byteCount() + 8000 < bytes)
            m.results.products.push_back(productAt(std::string(4000, 'p')));
        const std::size_t rest = bytes - m.results.byteCount() - 2 * 34;
        m.results.products.push_back(productAt(std::string(rest / 2, 'p')));
        m.results.products.push_back(productAt(std::string(rest - rest / 2, 'p')));
        EXPECT_EQ(m.results.byteCount(), bytes);
    };
    expectLimit<R>(fillAll, kMaxResultsBytes, "all text of it");
}

TEST(EnvelopeLimits, RefuseResultsThatLeadOutOfTheOutput)
{
    using R = AttemptResult;
    for (const char* path : {"..", "a/../b", "a/..", "/etc", "./a", "a//b", "a/"}) {
        EXPECT_NE(errorOf<R>([=](R& m) { m.results.products[0].path = path; }).find("products.path"), std::string::npos)
            << path;
        EXPECT_NE(errorOf<R>([=](R& m) { m.results.products[0].defaultPath = path; }).find("products.default_path"),
                  std::string::npos)
            << path;
    }
    EXPECT_EQ(errorOf<R>([](R& m) { m.results.products[0].path = "a..b/..c"; }), "");
    EXPECT_NE(errorOf<R>([](R& m) { m.results.products[0].type.clear(); }).find("products.type"), std::string::npos);
    EXPECT_NE(errorOf<R>([](R& m) { m.results.products[0].output.clear(); }).find("products.output"),
              std::string::npos);
    EXPECT_NE(errorOf<R>([](R& m) { m.results.products[0].name = "a\nb"; }).find("control"), std::string::npos);
    EXPECT_NE(errorOf<R>([](R& m) { m.results.products[0].sha256 = "abc"; }).find("64"), std::string::npos);
    EXPECT_NE(errorOf<R>([](R& m) { m.results.products[0].sha256.assign(64, 'G'); }).find("sha256"), std::string::npos);
    const auto infinite = [](R& m) { m.results.metrics[0].value = std::numeric_limits<double>::infinity(); };
    EXPECT_NE(errorOf<R>(infinite).find("value"),
              std::string::npos);
    EXPECT_NE(errorOf<R>([](R& m) { m.results.metrics[0].name.clear(); }).find("metrics.name"), std::string::npos);
}

TEST(EnvelopeLimits, RefuseWhatMakesNoSense)
{
    EXPECT_NE(errorOf<Hello>([](Hello& m) { m.protocolMin = 0; }).find("protocol_min"), std::string::npos);
    EXPECT_NE(errorOf<Hello>([](Hello& m) { m.protocolMax = 0; }).find("protocol_min"), std::string::npos);
    EXPECT_NE(errorOf<Hello>([](Hello& m) { m.identity = "0123"; }).find("identity"), std::string::npos);
    EXPECT_NE(errorOf<Hello>([](Hello& m) { m.identity[3] = 'G'; }).find("identity"), std::string::npos);
    EXPECT_NE(errorOf<Hello>([](Hello& m) { m.instance.clear(); }).find("instance"), std::string::npos);
    EXPECT_NE(errorOf<Hello>([](Hello& m) { m.facts.name.clear(); }).find("name"), std::string::npos);
    EXPECT_NE(errorOf<Hello>([](Hello& m) { m.facts.name = "a\nb"; }).find("control"), std::string::npos);
    EXPECT_NE(errorOf<Hello>([](Hello& m) { m.facts.speedFactor = -1; }).find("speed_factor"), std::string::npos);
    EXPECT_NE(errorOf<Report>([](Report& m) { m.load.load1 = std::numeric_limits<double>::quiet_NaN(); }).find("load1"),
              std::string::npos);
    EXPECT_NE(errorOf<Report>([](Report& m) { m.held[0].attempt = AttemptId(0); }).find("attempt_id"),
              std::string::npos);
    EXPECT_NE(errorOf<AttemptAnswer>([](AttemptAnswer& m) { m.attempt = AttemptId(kMaxId + 1); }).find("attempt_id"),
              std::string::npos);
    EXPECT_EQ(errorOf<AttemptAnswer>([](AttemptAnswer& m) { m.attempt = AttemptId(kMaxId); }), "");
    EXPECT_NE(errorOf<LogChunk>([](LogChunk& m) { m.offset = UINT64_MAX; }).find("offset"), std::string::npos);
    EXPECT_NE(errorOf<AttemptAnswer>([](AttemptAnswer& m) { m.text = std::string("a\0b", 3); }).find("NUL"),
              std::string::npos);
}

TEST(EnvelopeLimits, RefuseAnUnknownOutcomeButNotAnUnknownReason)
{
    link::BuilderMessage wire;
    wire.mutable_finished()->set_attempt_id(1);
    wire.mutable_finished()->set_outcome(static_cast<link::Outcome>(77));
    EXPECT_FALSE(decodeBuilderMessage(bytesOf(wire.SerializeAsString())));
    wire.mutable_answer()->set_attempt_id(1);
    wire.mutable_answer()->set_reason(static_cast<link::RejectReason>(77));
    const auto answer = decodeBuilderMessage(bytesOf(wire.SerializeAsString()));
    ASSERT_TRUE(answer && *answer);
    EXPECT_EQ(std::get<AttemptAnswer>(**answer).reason, RejectReason::Unspecified);
}

Desired desiredWith(const std::function<void(Assignment&)>& change)
{
    Desired desired;
    Assignment odd = sampleAssignment();
    change(odd);
    desired.assign = {odd, sampleAssignment()};
    const auto back = throughWire(ServerMessage(desired));
    return back && *back ? std::get<Desired>(**back) : Desired{};
}

TEST(EnvelopeLimits, MakeABadAssignmentARejectAndKeepTheOthers)
{
    const std::vector<std::function<void(Assignment&)>> changes{
        [](Assignment& a) { a.step = StepId(0); },
        [](Assignment& a) { a.work = CommandWork{}; },
        [](Assignment& a) {
            a.work = CommandWork{{""}, {}};
        },
        [](Assignment& a) {
            a.work = CommandWork{{std::string("a\0b", 3)}, {}};
        },
        [](Assignment& a) {
            a.work = CommandWork{{"a"}, {{"A=B", "x"}}};
        },
        [](Assignment& a) {
            a.work = CommandWork{std::vector<std::string>(kMaxArguments + 1, "a"), {}};
        },
        [](Assignment& a) {
            a.work = CommandWork{{"a", std::string(kMaxArgumentBytes + 1, 'x')}, {}};
        },
        [](Assignment& a) {
            a.work = CommandWork{std::vector<std::string>(9, std::string(kMaxArgumentBytes, 'x')), {}};
        },
        [](Assignment& a) {
            a.work = NixWork{"", "", {}, {}};
        },
        [](Assignment& a) { a.name = "a\tb"; },
        [](Assignment& a) { a.limits.timeout = std::chrono::milliseconds(kMaxMillis + 1); },
    };
    for (std::size_t i = 0; i < changes.size(); ++i) {
        const Desired desired = desiredWith(changes[i]);
        ASSERT_EQ(desired.bad.size(), 1U) << i;
        EXPECT_EQ(desired.bad[0].attempt, AttemptId(11)) << i;
        EXPECT_EQ(desired.bad[0].reason, RejectReason::Invalid) << i;
        EXPECT_FALSE(desired.bad[0].text.empty()) << i;
        EXPECT_EQ(desired.assign, std::vector<Assignment>{sampleAssignment()}) << i;
    }
}

TEST(EnvelopeLimits, CallUnknownWorkUnsupported)
{
    link::ServerMessage wire;
    wire.mutable_desired()->add_assign()->set_attempt_id(5);
    const auto back = decodeServerMessage(bytesOf(wire.SerializeAsString()));
    ASSERT_TRUE(back && *back);
    const auto& desired = std::get<Desired>(**back);
    ASSERT_EQ(desired.bad.size(), 1U);
    EXPECT_EQ(desired.bad[0].reason, RejectReason::Unsupported);
}

} // namespace
} // namespace penstock::protocol
