// SPDX-License-Identifier: GPL-3.0-or-later
// NixResults on the wire: AttemptFinished.nix_results. Pure.
#pragma once

#include "shared/protocol/detail/decode_fields.h"

namespace penstock::protocol::detail {

void encodeResults(const NixResults& from, link::NixResults& to);
void readResults(FieldReader& fields, const link::NixResults& from, NixResults& to);

} // namespace penstock::protocol::detail
