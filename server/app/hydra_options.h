// SPDX-License-Identifier: GPL-3.0-or-later
// The part of penstock-server's options that is about a Hydra database: its place, limits of its builds, and every key
// that Hydra's queue runner reads from its file. Keys that mean nothing here are accepted, so that an existing file
// works, and told of. Pure: the environment is given. Invalid names the option and the way out.
#pragma once

#include "server/app/output_options.h"
#include "server/core/options.h"
#include "server/hydra/options.h"
#include "shared/base/result.h"
#include "shared/config/options.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::app {

void addHydraOptions(std::vector<config::OptionSpec>& options);

// Where the database is, in libpq's words; empty: nowhere said. HYDRA_DATABASE_URL and HYDRA_DBI count with --hydra
// only, and before the file.
[[nodiscard]] Result<std::string> readDatabaseUrl(const config::Values& values, const config::Environment& environment);
// "dbi:Pg:dbname=hydra;host=db" as libpq writes it; what does not begin so is left as it is.
[[nodiscard]] Result<std::string> fromDbi(std::string_view text);

struct HydraSurroundings {
    const config::Environment& environment;
    std::string databaseUrl;
    bool isRoot = false;
};
// Nothing without --hydra. outputs and core: what Hydra's own runner does by default where nothing is said; in core also
// what a step gets at least that is no build's own.
[[nodiscard]] Result<std::optional<hydra::Options>> readHydraOptions(const config::Values& values,
                                                                     const HydraSurroundings& surroundings,
                                                                     OutputOptions& outputs,
                                                                     core::CoreOptions& core);

// Keys in the file that have no meaning here, and why; each once.
struct KeyNote {
    std::string key;
    std::string_view why;
};
[[nodiscard]] std::vector<KeyNote> keysWithoutMeaning(const config::Values& values);
[[nodiscard]] bool hasNoMeaning(std::string_view option);

} // namespace penstock::app
