// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/net/tls_settings.h"

#include <fmt/format.h>
#include <QFile>
#include <QFileInfo>
#include <QSslCertificate>
#include <QSslKey>
#include <QSslSocket>

namespace penstock::net {
namespace {

constexpr qint64 kMaxFileBytes = 1 << 20;

Result<QByteArray> readAll(const std::string& path, std::string_view flag)
{
    QFile file(QString::fromStdString(path));
    if (!file.open(QIODevice::ReadOnly))
        return fail(ErrorCode::Denied,
                    fmt::format("{}: cannot read {}: {}", flag, path, file.errorString().toStdString()));
    if (file.size() > kMaxFileBytes)
        return fail(ErrorCode::Denied, fmt::format("{}: {} has {} bytes, more than the limit of {}", flag,
                                                   path, file.size(), kMaxFileBytes));
    return file.readAll();
}

Result<QList<QSslCertificate>> readCertificates(const std::string& path, std::string_view flag)
{
    PENSTOCK_TRY(const auto bytes, readAll(path, flag));
    auto certificates = QSslCertificate::fromData(bytes, QSsl::Pem);
    if (certificates.isEmpty())
        return fail(ErrorCode::Denied, fmt::format("{}: {} holds no certificate in PEM form", flag, path));
    return certificates;
}

Result<QSslKey> readKey(const std::string& path)
{
    const auto permissions = QFileInfo(QString::fromStdString(path)).permissions();
    if (permissions.testAnyFlags(QFileDevice::ReadOther | QFileDevice::WriteOther))
        return fail(ErrorCode::Denied, fmt::format("--tls-key: {} can be read or written by everybody; "
                                                   "run: chmod o= {}",
                                                   path, path));
    PENSTOCK_TRY(const auto bytes, readAll(path, "--tls-key"));
    for (const auto algorithm : {QSsl::Rsa, QSsl::Ec}) {
        QSslKey key(bytes, algorithm, QSsl::Pem);
        if (!key.isNull())
            return key;
    }
    return fail(ErrorCode::Denied,
                fmt::format("--tls-key: {} holds no RSA or EC key in PEM form without a passphrase", path));
}

} // namespace

Result<QSslConfiguration> loadTls(const TlsFiles& files)
{
    if (files.certificate.empty() || files.key.empty())
        return fail(ErrorCode::Denied, "--tls-cert and --tls-key go together; give both");
    if (!QSslSocket::supportsSsl())
        return fail(ErrorCode::Denied,
                    "TLS: this Qt has no working TLS library; install libssl3 and the Qt TLS plugin");
    QSslConfiguration settings = QSslConfiguration::defaultConfiguration();
    PENSTOCK_TRY(const auto chain, readCertificates(files.certificate, "--tls-cert"));
    PENSTOCK_TRY(const auto key, readKey(files.key));
    settings.setLocalCertificateChain(chain);
    settings.setPrivateKey(key);
    settings.setProtocol(QSsl::TlsV1_2OrLater);
    settings.setPeerVerifyMode(QSslSocket::VerifyNone);
    if (!files.clientAuthority.empty()) {
        PENSTOCK_TRY(const auto authority, readCertificates(files.clientAuthority, "--tls-client-ca"));
        settings.setCaCertificates(authority);
        settings.setPeerVerifyMode(QSslSocket::VerifyPeer);
    }
    return settings;
}

} // namespace penstock::net
