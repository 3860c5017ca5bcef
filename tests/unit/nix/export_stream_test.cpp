// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/export_stream.h"
#include "tests/support/golden.h"
#include "tests/support/nar_tree.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

using namespace test;

const StoreDir kDir = StoreDir::standard();

StorePath pathOf(const std::string& name)
{
    return StorePath::fromBaseName("3312kys3knjskf490h2cq02gy5ydsrn5-" + name).value();
}

struct Exported {
    std::string nar;
    ExportedPath path;
};

struct Recorder final : ExportVisitor {
    std::vector<Exported> paths;
    std::vector<std::string> files;
    std::string nar;

    Result<void> onFile(std::string_view path, const NarFile&) override
    {
        files.emplace_back(path);
        return {};
    }
    Result<void> onNar(std::string_view bytes) override
    {
        nar.append(bytes);
        return {};
    }
    Result<void> onPath(const ExportedPath& path) override
    {
        EXPECT_EQ(path.narSize, nar.size());
        paths.push_back({std::exchange(nar, {}), path});
        return {};
    }
};

// Bytes after the stream are an error here.
Result<std::vector<Exported>> read(const std::string& stream, std::size_t piece, ExportLimits limits = {})
{
    Recorder recorder;
    ExportReader reader(kDir, recorder, limits);
    std::size_t taken = 0;
    while (taken < stream.size()) {
        const std::string copy = stream.substr(taken, piece);
        PENSTOCK_TRY(const std::size_t count, reader.push(copy));
        taken += count;
        if (count < copy.size())
            break;
    }
    PENSTOCK_TRY_VOID(reader.finish());
    if (taken != stream.size())
        return fail(ErrorCode::Corrupt, "bytes after the stream");
    return recorder.paths;
}

Result<std::string> write(const std::vector<Exported>& paths, std::size_t piece)
{
    std::string out;
    ExportWriter writer(kDir, [&out](std::string_view bytes) -> Result<void> {
        out.append(bytes);
        return {};
    });
    for (const Exported& exported : paths) {
        for (std::size_t at = 0; at < exported.nar.size(); at += piece)
            PENSTOCK_TRY_VOID(writer.nar(std::string_view(exported.nar).substr(at, piece)));
        PENSTOCK_TRY_VOID(writer.endPath(exported.path));
    }
    PENSTOCK_TRY_VOID(writer.finish());
    return out;
}

ErrorCode codeOf(const std::string& stream, ExportLimits limits = {})
{
    const auto paths = read(stream, 50, limits);
    return paths ? ErrorCode::Internal : paths.error().code;
}

std::string item(const std::string& tail)
{
    return number(1) + *narOf(file("x")) + tail;
}
std::string tailOf(const std::string& path, const std::vector<std::string>& references = {},
                   const std::string& deriver = "")
{
    return number(0x4558494e) + str(path) + number(references.size()) + strs(references) + str(deriver);
}

const std::string kPath = "/nix/store/3312kys3knjskf490h2cq02gy5ydsrn5-x";

TEST(ExportStream, ReadsAndWritesWhatNixExported)
{
    const std::string stream = fromHex(penstock::test::readGolden("nix/export.hex"));
    for (const std::size_t piece : {std::size_t{1}, std::size_t{9}, std::size_t{100}, stream.size()}) {
        const auto paths = read(stream, piece);
        ASSERT_TRUE(paths) << paths.error().message;
        ASSERT_EQ(paths->size(), 2U);
        EXPECT_EQ((*paths)[0].path.path.baseName(), "qgggmh3l96fi791a1gqbxc2lmf926cxz-floating");
        EXPECT_EQ((*paths)[0].path.deriver->baseName(), "nzcxnsnxkx446c3zfrrm3n0v8r8vmd9w-floating.drv");
        EXPECT_TRUE((*paths)[0].path.references.empty());
        EXPECT_EQ((*paths)[1].path.references, StorePathSet{(*paths)[0].path.path});
        EXPECT_EQ(treeOf((*paths)[0].nar, 9)->text, "floating\n");
        EXPECT_EQ(write(*paths, piece), stream);
    }
}

TEST(ExportStream, TellsTheEventsOfEachNar)
{
    Recorder recorder;
    ExportReader reader(kDir, recorder);
    ASSERT_TRUE(reader.push(fromHex(penstock::test::readGolden("nix/export.hex"))));
    EXPECT_EQ(recorder.files, (std::vector<std::string>{"", ""}));
}

TEST(ExportStream, MayBeEmptyAndLeavesWhatFollows)
{
    EXPECT_EQ(write({}, 1), number(0));
    Recorder recorder;
    ExportReader reader(kDir, recorder);
    EXPECT_FALSE(reader.isDone());
    EXPECT_EQ(reader.push(number(0) + "more"), 8U);
    EXPECT_TRUE(reader.isDone());
    EXPECT_TRUE(reader.finish());
}

TEST(ExportStream, RefusesEveryStreamThatIsCutShort)
{
    const std::string stream = fromHex(penstock::test::readGolden("nix/export.hex"));
    for (std::size_t length = 0; length < stream.size(); ++length)
        EXPECT_EQ(codeOf(stream.substr(0, length)), ErrorCode::Corrupt) << length;
}

TEST(ExportStream, DropsOldSignatures)
{
    const auto plain = read(item(tailOf(kPath) + number(0)) + number(0), 50);
    const auto old = read(item(tailOf(kPath) + number(1) + str("signature")) + number(0), 50);
    ASSERT_TRUE(plain && old);
    EXPECT_EQ(plain->at(0).path, old->at(0).path);
    EXPECT_EQ(codeOf(item(tailOf(kPath) + number(1) + str(std::string(65'537, 'x'))) + number(0)),
              ErrorCode::Exhausted);
}

TEST(ExportStream, RefusesWrongMarksPathsAndPadding)
{
    const std::string good = item(tailOf(kPath) + number(0)) + number(0);
    EXPECT_TRUE(read(good, 50));
    EXPECT_EQ(codeOf(number(2) + good.substr(8)), ErrorCode::Corrupt);
    EXPECT_EQ(codeOf(item(number(0x4558494f))), ErrorCode::Corrupt);
    EXPECT_EQ(codeOf(item(tailOf(kPath) + number(2))), ErrorCode::Corrupt);
    EXPECT_EQ(codeOf(item(tailOf(kPath + "/below"))), ErrorCode::Corrupt);
    EXPECT_EQ(codeOf(item(tailOf("/gnu/store/3312kys3knjskf490h2cq02gy5ydsrn5-x"))), ErrorCode::Corrupt);
    EXPECT_EQ(codeOf(item(tailOf(""))), ErrorCode::Corrupt);
    EXPECT_EQ(codeOf(item(tailOf(kPath, {"junk"}))), ErrorCode::Corrupt);
    EXPECT_EQ(codeOf(item(tailOf(kPath, {}, "junk"))), ErrorCode::Corrupt);
    std::string padded = good;
    padded[padded.find(kPath) + kPath.size()] = 'x';
    EXPECT_EQ(codeOf(padded), ErrorCode::Corrupt);
    EXPECT_EQ(codeOf(number(1) + str("junk")), ErrorCode::Corrupt);
}

TEST(ExportStream, StopsAtItsLimits)
{
    const std::string two =
        item(tailOf(kPath, {kPath, kPath}) + number(0)) + item(tailOf(kPath) + number(0)) + number(0);
    ExportLimits limits;
    limits.maxPaths = 2;
    limits.maxReferences = 2;
    limits.nar.maxBytes = narOf(file("x"))->size();
    EXPECT_TRUE(read(two, 50, limits));
    limits.maxPaths = 1;
    EXPECT_EQ(codeOf(two, limits), ErrorCode::Exhausted);
    limits.maxPaths = 2;
    limits.maxReferences = 1;
    EXPECT_EQ(codeOf(two, limits), ErrorCode::Exhausted);
    limits.maxReferences = 2;
    --limits.nar.maxBytes;
    EXPECT_EQ(codeOf(two, limits), ErrorCode::Exhausted);
    EXPECT_EQ(codeOf(item(number(0x4558494e) + number(UINT64_MAX))), ErrorCode::Exhausted);
    EXPECT_EQ(codeOf(item(number(0x4558494e) + str(kPath) + number(UINT64_MAX))), ErrorCode::Exhausted);
}

TEST(ExportStream, IsNotWrittenWrongly)
{
    const auto quiet = [] { return ExportWriter(kDir, [](std::string_view) -> Result<void> { return {}; }); };
    const ExportedPath path{pathOf("x"), {}, std::nullopt};
    const std::string archive = *narOf(file("x"));
    ExportWriter noNar = quiet();
    EXPECT_EQ(noNar.endPath(path).error().code, ErrorCode::Invalid);
    EXPECT_FALSE(noNar.finish());
    ExportWriter cut = quiet();
    ASSERT_TRUE(cut.nar(archive.substr(0, 100)));
    EXPECT_EQ(cut.endPath(path).error().code, ErrorCode::Corrupt);
    ExportWriter longer = quiet();
    EXPECT_EQ(longer.nar(archive + archive).error().code, ErrorCode::Invalid);
    ExportWriter open = quiet();
    ASSERT_TRUE(open.nar(archive));
    EXPECT_EQ(open.finish().error().code, ErrorCode::Invalid);
    ExportWriter after = quiet();
    ASSERT_TRUE(after.finish());
    EXPECT_EQ(after.nar(archive).error().code, ErrorCode::Invalid);
    EXPECT_EQ(after.finish().error().code, ErrorCode::Invalid);
}

TEST(ExportStream, EndsWithTheErrorOfItsVisitor)
{
    struct Full final : ExportVisitor {
        Result<void> onPath(const ExportedPath&) override { return fail(ErrorCode::Exhausted, "disk full"); }
    };
    Full visitor;
    ExportReader reader(kDir, visitor);
    const auto pushed = reader.push(item(tailOf(kPath) + number(0)));
    ASSERT_FALSE(pushed);
    EXPECT_EQ(pushed.error().message, "disk full");
    EXPECT_FALSE(reader.finish());
}

} // namespace
} // namespace penstock::nix
