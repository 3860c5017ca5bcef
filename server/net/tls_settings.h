// SPDX-License-Identifier: GPL-3.0-or-later
// TLS settings of a listener, read from its files once. Denied: a file that cannot be read, does not fit, or (the
// key) can be read by others.
#pragma once

#include "server/net/listener.h"
#include "shared/base/result.h"

#include <QSslConfiguration>

namespace penstock::net {

[[nodiscard]] Result<QSslConfiguration> loadTls(const TlsFiles& files);

} // namespace penstock::net
