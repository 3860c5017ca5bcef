// SPDX-License-Identifier: GPL-3.0-or-later
// Requests that put something into a store, and realisations, in the layout of each protocol minor
// (nix-formats 5.9, 5.11). Pure. Arguments are checked before they are written (Invalid), since a daemon that
// cannot read them may take what follows for other requests; a method of adding comes from a fixed list only.
#pragma once

#include "shared/base/result.h"
#include "shared/nixdaemon/daemon_codec.h"
#include "shared/nixdaemon/daemon_types.h"
#include "shared/nixdaemon/wire.h"

#include <string>
#include <string_view>

namespace penstock::nixdaemon {

// The NAR follows.
[[nodiscard]] Result<WireWriter> addNarRequest(const nix::StoreDir& dir, const NarToAdd& nar,
                                               const AddOptions& options);
// Of one path in AddMultipleToStore; its NAR follows.
[[nodiscard]] Result<WireWriter> multipleEntry(const nix::StoreDir& dir, const NarToAdd& nar);
// For 1.25 and newer; the content follows in frames.
[[nodiscard]] Result<WireWriter> addContentRequest(const nix::StoreDir& dir, const ContentToAdd& content);
// Below 1.25; the content follows as it is, Flat as a NAR of one file, Text as a string.
[[nodiscard]] Result<WireWriter> addContentRequestOld(const ContentToAdd& content);

// Whether the text is one of the realisation ids that Nix writes: sha256:HASH!OUTPUT.
[[nodiscard]] Result<void> checkRealisationId(std::string_view id);
[[nodiscard]] Result<std::string> printRealisation(const Realisation& realisation);
[[nodiscard]] Result<Realisation> parseRealisation(std::string_view json);

} // namespace penstock::nixdaemon
