// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/text.h"
#include "shared/nix/build_needs.h"
#include "shared/nix/drv.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

const StoreDir kDir = StoreDir::standard();
const std::string kOut = "/nix/store/94f9f6i31zwzwbf0kclq1naqxxi4c7v9-simple";
const std::string kTail = R"(,"x86_64-linux","/bin/sh",[],[("out",")" + kOut + R"(")]))";

Derivation vectorOf(const std::string& attribute)
{
    for (const auto& row : test::readGoldenTable("nix/drv.tsv"))
        if (row[0] == attribute)
            return parseDerivationAt(kDir, StorePath::parse(kDir, row[1]).value(),
                                     test::readGolden("nix/drv/" + attribute + ".drv"))
                .value();
    ADD_FAILURE() << "no vector " << attribute;
    return {};
}

std::string errorOf(const std::string& text)
{
    const auto drv = parseDerivation(kDir, "simple", text);
    return drv ? "accepted" : drv.error().message;
}

TEST(Derivation, ReadsAndWritesEveryVectorOfNixByteForByte)
{
    const auto rows = test::readGoldenTable("nix/drv.tsv");
    ASSERT_EQ(rows.size(), 18U);
    for (const auto& row : rows) {
        const std::string text = test::readGolden("nix/drv/" + row[0] + ".drv");
        const StorePath path = StorePath::parse(kDir, row[1]).value();
        const auto drv = parseDerivationAt(kDir, path, text);
        ASSERT_TRUE(drv) << row[0] << ": " << drv.error().message;
        EXPECT_EQ(printDerivation(kDir, *drv), text) << row[0];
        EXPECT_EQ(computeDerivationPath(kDir, *drv), path) << row[0];
        StorePathSet references;
        const std::string listed = row.size() > 2 ? row[2] : "";
        for (const std::string_view reference : split(listed, ' '))
            references.insert(StorePath::parse(kDir, reference).value());
        EXPECT_EQ(drv->references(), references) << row[0];
    }
}

TEST(Derivation, UnescapesStrings)
{
    EXPECT_EQ(
        vectorOf("escapes").environment.at("x"),
        "quote\" backslash\\ newline\n return\r tab\t dollar$ brace{} bell nul-free \\n literal, é ü 雪");
}

TEST(Derivation, KnowsTheKindsOfOutputs)
{
    EXPECT_EQ(vectorOf("multi").outputKind(), OutputKind::InputAddressed);
    EXPECT_EQ(vectorOf("multi").outputs.size(), 3U);
    EXPECT_EQ(vectorOf("fixedRecSha1").outputKind(), OutputKind::Fixed);
    EXPECT_EQ(vectorOf("floating").outputKind(), OutputKind::Floating);
    EXPECT_EQ(vectorOf("deferred").outputKind(), OutputKind::Deferred);
    EXPECT_EQ(fixedMethod(vectorOf("fixedRec").outputs.at("out")), FileMethod::Recursive);
    EXPECT_EQ(fixedMethod(vectorOf("fixedFlat").outputs.at("out")), FileMethod::Flat);
    EXPECT_FALSE(fixedHash(vectorOf("multi").outputs.at("out")));
}

TEST(Derivation, GivesThePlaceholderOfAnOutputNotYetBuilt)
{
    const StorePath floating =
        StorePath::parse(kDir, "/nix/store/nzcxnsnxkx446c3zfrrm3n0v8r8vmd9w-floating.drv").value();
    EXPECT_EQ(outputPlaceholder(floating, "out"), "/0dwg6gbaxd9pvh6zj9k2h3dzdzhnnwl7psmjnmij6dfiqs77710b");
}

TEST(Derivation, RefusesTextThatIsNotCanonical)
{
    const std::string good = "Derive([(\"out\",\"" + kOut + "\",\"\",\"\")],[],[]" + kTail;
    EXPECT_EQ(errorOf(good), "accepted");
    const std::string other =
        R"("/nix/store/3gaaaasd83mc26i81adpa2fzf3yw4f68-b","/nix/store/3faaaasd83mc26i81adpa2fzf3yw4f68-a")";
    for (const std::string& text :
         {good + "\n",
          good.substr(0, good.size() - 1),
          " " + good,
          std::string(),
          std::string("Derive("),
          "Derive([],[],[]" + kTail,                                               // no output
          "Derive([(\"out\",\"\",\"\",\"aa\")],[],[]" + kTail,                     // hash without method
          "Derive([(\"out\",\"" + kOut + "\",\"sha256\",\"\")],[],[]" + kTail,     // path of a floating one
          "Derive([(\"out\",\"" + kOut + "\",\"sha9\",\"aa\")],[],[]" + kTail,     // unknown method
          "Derive([(\"o/t\",\"" + kOut + "\",\"\",\"\")],[],[]" + kTail,           // output name
          "Derive([(\"dev\",\"" + kOut + "\",\"r:sha256\",\"aa\")],[],[]" + kTail, // fixed, but not out
          "Derive([(\"a\",\"\",\"\",\"\"),(\"out\",\"" + kOut + "\",\"\",\"\")],[],[]" + kTail, // two kinds
          "Derive([(\"out\",\"/bin/sh\",\"\",\"\")],[],[]" + kTail,                   // not a store path
          "Derive([(\"out\",\"" + kOut + "\",\"\",\"\")],[],[" + other + "]" + kTail, // not sorted
          "Derive([(\"out\",\"" + kOut + "\",\"\",\"\")],[(\"" + kOut + "\",[\"out\"])],[]" +
              kTail, // input not a .drv
          "Derive([(\"out\",\"" + kOut + "\",\"\",\"\")],[(\"" + kOut + ".drv\",[])],[]" +
              kTail,                                                                   // nothing wanted
          "Derive([(\"out\",\"" + kOut + "\",\"\",\"\")],[],[],\"\\x86\",\"\",[],[])", // needless escape
          "Derive([(\"out\",\"" + kOut + "\",\"\",\"\")],[],[],\"\",\"\n\",[],[])",    // bare newline
          "Derive([(\"out\",\"" + kOut + "\",\"\",\"\")],[],[],\"\",\"\",[],[(\"a\",\"\"),(\"a\",\"\")])",
          "DrvWithVersion(\"xp-dyn-drv\"," + good.substr(7), // needless version
          "DrvWithVersion(\"2\"," + good.substr(7)})
        EXPECT_NE(errorOf(text), "accepted") << text;
}

TEST(Derivation, ReadsDynamicInputsAndLimitsTheirNesting)
{
    const auto nested = [](unsigned depth) {
        std::string open;
        std::string close;
        for (unsigned i = 0; i < depth; ++i) {
            open += "([],[(\"gen\",";
            close += ")])";
        }
        return "DrvWithVersion(\"xp-dyn-drv\",[(\"out\",\"\",\"\",\"\")],[(\"" + kOut + ".drv\"," + open +
               "[\"out\"]" + close + ")],[],\"\",\"\",[],[])";
    };
    const auto drv = parseDerivation(kDir, "x", nested(2));
    ASSERT_TRUE(drv) << drv.error().message;
    EXPECT_TRUE(drv->hasDynamicInputs());
    EXPECT_EQ(printDerivation(kDir, *drv), nested(2));
    EXPECT_TRUE(parseDerivation(kDir, "x", nested(kMaxDerivationNesting)));
    const auto tooDeep = parseDerivation(kDir, "x", nested(kMaxDerivationNesting + 1));
    ASSERT_FALSE(tooDeep);
    EXPECT_EQ(tooDeep.error().code, ErrorCode::Exhausted);
}

TEST(Derivation, RefusesContentThatBelongsAtAnotherPath)
{
    const StorePath wrong =
        StorePath::parse(kDir, "/nix/store/rqrnns2ih3dd5jlxym72yvrk63jk92rs-simple.drv").value();
    const auto drv = parseDerivationAt(kDir, wrong, test::readGolden("nix/drv/simple.drv"));
    ASSERT_FALSE(drv);
    EXPECT_EQ(drv.error().code, ErrorCode::Corrupt);
    EXPECT_FALSE(parseDerivationAt(kDir, StorePath::parse(kDir, kOut).value(),
                                   test::readGolden("nix/drv/simple.drv")));
}

TEST(Derivation, ResolvesWithAllInputsAndReplacedPlaceholders)
{
    const Derivation drv = vectorOf("deps");
    StorePathSet inputs = drv.inputSources;
    inputs.insert(StorePath::parse(kDir, kOut).value());
    const BasicDerivation basic = resolve(drv, inputs, {{drv.arguments.back(), "replaced"}, {"", "never"}});
    EXPECT_EQ(basic.inputs, inputs);
    EXPECT_EQ(basic.outputs, drv.outputs);
    EXPECT_EQ(basic.arguments.back(), "replaced");
    EXPECT_EQ(basic.environment, drv.environment);
}

TEST(BuildNeeds, AreReadFromPlainVariables)
{
    const BuildNeeds needs = readBuildNeeds(vectorOf("special")).value();
    EXPECT_EQ(needs.system, "x86_64-linux");
    EXPECT_EQ(needs.features, (std::set<std::string>{"benchmark", "big-parallel", "uid-range"}));
    EXPECT_TRUE(needs.preferLocalBuild);
    EXPECT_FALSE(needs.allowSubstitutes);
    EXPECT_TRUE(readBuildNeeds(vectorOf("simple")).value().allowSubstitutes);
}

TEST(BuildNeeds, AreReadFromStructuredAttributes)
{
    const BuildNeeds needs = readBuildNeeds(vectorOf("structured")).value();
    EXPECT_EQ(needs.features, (std::set<std::string>{"big-parallel", "kvm"}));
    EXPECT_TRUE(needs.preferLocalBuild);
    EXPECT_FALSE(needs.allowSubstitutes);
}

TEST(BuildNeeds, AskForContentAddressedDerivationsWhereAnOutputIsUnknown)
{
    EXPECT_TRUE(readBuildNeeds(vectorOf("floating")).value().features.contains("ca-derivations"));
    EXPECT_TRUE(readBuildNeeds(vectorOf("deferred")).value().features.contains("ca-derivations"));
    EXPECT_TRUE(readBuildNeeds(vectorOf("builtinFetchurl")).value().isBuiltin);
}

TEST(BuildNeeds, RefuseBrokenStructuredAttributes)
{
    Derivation drv = vectorOf("simple");
    for (const char* json : {"{", "[]", R"({"preferLocalBuild":1})", R"({"requiredSystemFeatures":"kvm"})",
                             R"({"requiredSystemFeatures":[1]})"}) {
        drv.environment["__json"] = json;
        EXPECT_FALSE(readBuildNeeds(drv)) << json;
    }
}

} // namespace
} // namespace penstock::nix
