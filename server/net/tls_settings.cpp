// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/net/tls_settings.h"

#include "shared/tls/pem.h"

#include <QSslSocket>

namespace penstock::net {
Result<QSslConfiguration> loadTls(const TlsFiles& files)
{
    if (files.certificate.empty() || files.key.empty())
        return fail(ErrorCode::Denied, "--tls-cert and --tls-key go together; give both");
    if (!QSslSocket::supportsSsl())
        return fail(ErrorCode::Denied,
                    "TLS: this Qt has no working TLS library; install libssl3 and the Qt TLS plugin");
    QSslConfiguration settings = QSslConfiguration::defaultConfiguration();
    PENSTOCK_TRY(const auto chain, tls::readCertificates(files.certificate, "--tls-cert"));
    PENSTOCK_TRY(const auto key, tls::readKey(files.key, "--tls-key"));
    settings.setLocalCertificateChain(chain);
    settings.setPrivateKey(key);
    settings.setProtocol(QSsl::TlsV1_2OrLater);
    settings.setPeerVerifyMode(QSslSocket::VerifyNone);
    if (!files.clientAuthority.empty()) {
        PENSTOCK_TRY(const auto authority, tls::readCertificates(files.clientAuthority, "--tls-client-ca"));
        settings.setCaCertificates(authority);
        settings.setPeerVerifyMode(QSslSocket::VerifyPeer);
    }
    return settings;
}

} // namespace penstock::net
