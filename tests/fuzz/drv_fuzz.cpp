// SPDX-License-Identifier: GPL-3.0-or-later
// Laws: what parses prints to the same bytes, and its needs, path and hash modulo can be asked for without
// harm.
#include "tests/fuzz/fuzz_target.h"

#include "shared/base/check.h"
#include "shared/nix/build_needs.h"
#include "shared/nix/drv.h"
#include "shared/nix/json.h"
#include "shared/nix/modulo.h"

#include <string_view>

using namespace penstock;
using namespace penstock::nix;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text = textOf(std::as_bytes(std::span(bytes, size)));
    static_cast<void>(parseJson(text));
    const StoreDir dir = StoreDir::standard();
    const auto drv = parseDerivation(dir, "fuzzed", text);
    if (!drv)
        return 0;
    PENSTOCK_CHECK(printDerivation(dir, *drv) == text);
    PENSTOCK_CHECK(!drv->outputs.empty());
    static_cast<void>(readBuildNeeds(*drv));
    static_cast<void>(computeDerivationPath(dir, *drv));
    static_cast<void>(ModuloHashes(dir).verifyOutputPaths(*drv));
    static_cast<void>(resolve(*drv, drv->inputSources));
    return 0;
}
