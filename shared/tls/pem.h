// SPDX-License-Identifier: GPL-3.0-or-later
// Certificates and keys from PEM files. `flag` is the option that named the file, for the error text. Denied: a file
// that cannot be read, does not fit, or (a key) can be read by everybody. Callable from any thread.
#pragma once

#include "shared/base/result.h"

#include <QList>
#include <QSslCertificate>
#include <QSslKey>
#include <string>
#include <string_view>

namespace penstock::tls {

[[nodiscard]] Result<QList<QSslCertificate>> readCertificates(const std::string& path, std::string_view flag);
[[nodiscard]] Result<QSslKey> readKey(const std::string& path, std::string_view flag);

} // namespace penstock::tls
