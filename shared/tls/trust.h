// SPDX-License-Identifier: GPL-3.0-or-later
// Whom this program trusts when it dials out, and how it shows who it is itself: put into Qt's default TLS settings,
// which every QSslSocket and QWebSocket made later takes. Main thread, once, before the first socket. Denied: a file
// that cannot be used; Invalid: a certificate without its key.
#pragma once

#include "shared/base/result.h"

#include <string>

namespace penstock::tls {

// Paths of PEM files; empty: not given.
struct TrustFiles {
    std::string authority;   // --tls-ca: the only one trusted; empty: the system's
    std::string certificate; // --tls-cert, for a server with --tls-client-ca
    std::string key;         // --tls-key
};

[[nodiscard]] Result<void> applyTrust(const TrustFiles& files);

} // namespace penstock::tls
