// SPDX-License-Identifier: GPL-3.0-or-later
// What requests to Hydra's routes say, and the form of their errors. Pure.
#pragma once

#include "server/http/hydra_gateway.h"
#include "server/http/route.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::http {

inline constexpr std::uint64_t kMostBuildId = 2'147'483'647; // Hydra's ids are 32-bit integers

inline constexpr std::string_view kAddedBuildBody =
    R"({"type":"object","required":["drv"],"properties":{"jobsetId":{"type":"integer","minimum":1},)"
    R"("jobset_id":{"type":"integer","minimum":1},"drv":{"type":"string"}}})";
inline constexpr std::string_view kBuildIdBody =
    R"({"type":"object","properties":{"buildId":{"type":"integer","minimum":1},)"
    R"("build_id":{"type":"integer","minimum":1}}})";

struct AddedBuild {
    std::int64_t jobset = 0;
    std::string drv; // base name
};
// {"jobsetId": 1, "drv": "HASH-NAME.drv"}; jobset_id and a full path are taken too.
[[nodiscard]] Result<AddedBuild> readAddedBuild(std::string_view body);
// {"buildId": 1}, or build_id.
[[nodiscard]] Result<std::uint64_t> readBuildId(std::string_view body);
[[nodiscard]] Result<HydraPage> readHydraPage(const Request& request);
// Of paths that wait for upload: they are short, and come and go too fast for pages.
[[nodiscard]] Result<std::uint32_t> readUploadLimit(const Request& request);

// Hydra's runner tells errors as {"error": text}: a problem document of its paths has that member too.
[[nodiscard]] bool isHydraPath(std::string_view path);
void addHydraError(Reply& reply);
[[nodiscard]] Reply hydraProblem(unsigned status, std::string_view text);
[[nodiscard]] Reply hydraProblem(const Error& error);

} // namespace penstock::http
