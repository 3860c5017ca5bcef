// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/tls/trust.h"

#include "shared/tls/pem.h"

#include <QSslConfiguration>
#include <QSslSocket>

namespace penstock::tls {

Result<void> applyTrust(const TrustFiles& files)
{
    // Loading the TLS library takes milliseconds that a program without these files need not spend.
    if (files.authority.empty() && files.certificate.empty() && files.key.empty())
        return {};
    if (files.certificate.empty() != files.key.empty())
        return fail(ErrorCode::Invalid, "--tls-cert and --tls-key go together; give both");
    if (!QSslSocket::supportsSsl())
        return fail(ErrorCode::Denied,
                    "TLS: this Qt has no working TLS library; install libssl3 and the Qt TLS plugin");
    QSslConfiguration settings = QSslConfiguration::defaultConfiguration();
    settings.setProtocol(QSsl::TlsV1_2OrLater);
    if (!files.authority.empty()) {
        PENSTOCK_TRY(const auto authority, readCertificates(files.authority, "--tls-ca"));
        settings.setCaCertificates(authority);
    }
    if (!files.certificate.empty()) {
        PENSTOCK_TRY(const auto chain, readCertificates(files.certificate, "--tls-cert"));
        PENSTOCK_TRY(const auto key, readKey(files.key, "--tls-key"));
        settings.setLocalCertificateChain(chain);
        settings.setPrivateKey(key);
    }
    QSslConfiguration::setDefaultConfiguration(settings);
    return {};
}

} // namespace penstock::tls
