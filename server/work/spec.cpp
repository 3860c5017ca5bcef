// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/spec.h"

namespace penstock::work {

const std::string& StepSpec::sharingKey() const
{
    static const std::string kNone;
    const auto* nix = std::get_if<NixWork>(work.get());
    return nix == nullptr ? kNone : nix->drvPath;
}

} // namespace penstock::work
