// SPDX-License-Identifier: GPL-3.0-or-later
// A stored log as the text that others keep: what the build has said, and nothing that was said of the way there.
#pragma once

#include "server/logs/log_store.h"
#include "shared/base/ids.h"
#include "shared/base/stream.h"

namespace penstock::app {

// From its beginning to what is stored when it is read; errors are the store's. Its calls wait for the log thread, so
// they are for a thread that may. logs outlives it.
[[nodiscard]] ByteSource logSource(logs::LogStore& logs, AttemptId attempt);

} // namespace penstock::app
