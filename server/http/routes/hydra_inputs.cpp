// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/routes/hydra_inputs.h"

#include "server/http/inputs.h"
#include "server/jobs/object_reader.h"
#include "shared/base/text.h"
#include "shared/nix/json.h"
#include "shared/nix/store_path.h"

#include <array>
#include <fmt/format.h>

namespace penstock::http {
namespace {

constexpr std::uint32_t kMostItems = 1'000;
constexpr std::uint32_t kMostUploads = 10'000;
constexpr std::uint64_t kMostId = 1ULL << 62U;

// One of two spellings of a key; both is one too many.
Result<std::int64_t> readId(const jobs::ObjectReader& reader, std::string_view camel, std::string_view snake)
{
    PENSTOCK_TRY(const auto first, reader.integer(camel, 1, static_cast<std::int64_t>(kMostBuildId)));
    PENSTOCK_TRY(const auto second, reader.integer(snake, 1, static_cast<std::int64_t>(kMostBuildId)));
    if (first && second)
        return reader.refuse(snake, fmt::format("is given beside {}; give one of them", camel));
    if (!first && !second)
        return reader.refuse(camel, "is missing; it is the number of the row in Hydra's database");
    return first ? *first : *second;
}

} // namespace

Result<AddedBuild> readAddedBuild(std::string_view body)
{
    constexpr std::array<std::string_view, 3> kKeys{"jobsetId", "jobset_id", "drv"};
    PENSTOCK_TRY(const auto document, nix::parseJson(body));
    PENSTOCK_TRY(const auto reader, jobs::ObjectReader::open(document, {}, kKeys));
    AddedBuild build;
    PENSTOCK_TRY(build.jobset, readId(reader, "jobsetId", "jobset_id"));
    PENSTOCK_TRY(const auto drv, reader.text("drv", 4'096));
    if (!drv)
        return reader.refuse("drv", "is missing; it is the base name of a derivation, HASH-NAME.drv");
    build.drv = drv->substr(drv->rfind('/') + 1);
    if (!build.drv.ends_with(".drv") || !nix::StorePath::fromBaseName(build.drv))
        return reader.refuse("drv", fmt::format("is \"{}\", which is no name of a derivation; write HASH-NAME.drv",
                                                toValidUtf8(drv->substr(0, 250))));
    return build;
}

Result<std::uint64_t> readBuildId(std::string_view body)
{
    constexpr std::array<std::string_view, 2> kKeys{"buildId", "build_id"};
    PENSTOCK_TRY(const auto document, nix::parseJson(body));
    PENSTOCK_TRY(const auto reader, jobs::ObjectReader::open(document, {}, kKeys));
    PENSTOCK_TRY(const auto build, readId(reader, "buildId", "build_id"));
    return static_cast<std::uint64_t>(build);
}

Result<HydraPage> readHydraPage(const Request& request)
{
    HydraPage page;
    PENSTOCK_TRY(const auto after, queryNumber(request, "after", {0, kMostId}));
    PENSTOCK_TRY(const auto limit, queryNumber(request, "limit", {1, kMostItems}));
    page.after = after.value_or(0);
    page.limit = static_cast<std::uint32_t>(limit.value_or(kMostItems));
    return page;
}

Result<std::uint32_t> readUploadLimit(const Request& request)
{
    PENSTOCK_TRY(const auto limit, queryNumber(request, "limit", {1, kMostUploads}));
    return static_cast<std::uint32_t>(limit.value_or(kMostUploads));
}

bool isHydraPath(std::string_view path)
{
    return path == "/status" || path.starts_with("/status/") || path == "/build" || path == "/build/" ||
           path == "/build_one" || path == "/build_one/";
}

void addHydraError(Reply& reply)
{
    constexpr std::string_view kDetail = "\"detail\":"; // the last member
    const auto at = reply.body.find(kDetail);
    if (reply.type != "application/problem+json" || reply.body.starts_with("{\"error\"") || at == std::string::npos)
        return;
    const std::string text = reply.body.substr(at + kDetail.size(), reply.body.size() - at - kDetail.size() - 1);
    reply.body.replace(0, 1, "{\"error\":" + text + ',');
}

Reply hydraProblem(unsigned status, std::string_view text)
{
    Reply reply = problem(status, text);
    addHydraError(reply);
    return reply;
}

Reply hydraProblem(const Error& error)
{
    return hydraProblem(statusOf(error.code), error.message);
}

} // namespace penstock::http
