// SPDX-License-Identifier: GPL-3.0-or-later
// A daemon that answers anything. Law: the client returns; no length is trusted.
#include "tests/fuzz/fuzz_target.h"

#include "shared/base/bytes.h"
#include "shared/nixdaemon/daemon_connection.h"
#include "tests/support/scripted_transport.h"

#include <memory>

using namespace penstock;
using namespace penstock::nixdaemon;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    std::string sent;
    auto opened =
        DaemonConnection::over(std::make_unique<test::ScriptedTransport>(
                                   std::string(textOf(std::as_bytes(std::span(bytes, size)))), sent),
                               {});
    if (!opened)
        return 0;
    DaemonConnection& connection = **opened;
    const auto path = nix::StorePath::fromBaseName("94f9f6i31zwzwbf0kclq1naqxxi4c7v9-a");
    const auto drvPath = nix::StorePath::fromBaseName("3ghsl9sd83mc26i81adpa2fzf3yw4f68-a.drv");
    if (!path || !drvPath || !connection.setOptions({}))
        return 0;
    nix::BasicDerivation drv;
    drv.outputs["out"].path = *path;
    DaemonEvents events;
    static_cast<void>(connection.buildDerivation(*drvPath, drv, BuildMode::Normal, events));
    static_cast<void>(connection.queryPathInfo(*path));
    static_cast<void>(connection.queryMissing({{*drvPath, true, {}}}));
    static_cast<void>(connection.queryDerivationOutputMap(*drvPath));
    static_cast<void>(connection.buildPathsWithResults({{*drvPath, true, {}}}, BuildMode::Normal, events));
    return 0;
}
