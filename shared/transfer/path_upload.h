// SPDX-License-Identifier: GPL-3.0-or-later
// One store path on its way to the server: read, compressed, put as the server's plan says, tried again where
// that may help; an address that has expired is asked for anew, and when S3 cannot be reached the server
// takes the bytes. Blocking. Internal to shared/transfer.
#pragma once

#include "shared/transfer/road.h"
#include "shared/transfer/store_maker.h"

#include <optional>
#include <string>

namespace penstock::transfer {

struct UploadTools {
    const Road& road;
    const StoreMaker& store;
    const nixdaemon::Interrupt& interrupt;
    const std::string& spoolDirectory;
    const TapNar& tap;
};

// What publishing has to name: the parts, where it went in parts.
[[nodiscard]] Result<std::optional<PartsDone>> uploadPath(const UploadTools& tools, const nix::NarInfo& info,
                                                          PathPlan plan);

} // namespace penstock::transfer
