// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/tls/pem.h"

#include <fmt/format.h>
#include <QFile>
#include <QFileInfo>

namespace penstock::tls {
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

} // namespace

Result<QList<QSslCertificate>> readCertificates(const std::string& path, std::string_view flag)
{
    PENSTOCK_TRY(const auto bytes, readAll(path, flag));
    auto certificates = QSslCertificate::fromData(bytes, QSsl::Pem);
    if (certificates.isEmpty())
        return fail(ErrorCode::Denied, fmt::format("{}: {} holds no certificate in PEM form", flag, path));
    return certificates;
}

Result<QSslKey> readKey(const std::string& path, std::string_view flag)
{
    const auto permissions = QFileInfo(QString::fromStdString(path)).permissions();
    if (permissions.testAnyFlags(QFileDevice::ReadOther | QFileDevice::WriteOther))
        return fail(ErrorCode::Denied, fmt::format("{}: {} can be read or written by everybody; "
                                                   "run: chmod o= {}",
                                                   flag, path, path));
    PENSTOCK_TRY(const auto bytes, readAll(path, flag));
    for (const auto algorithm : {QSsl::Rsa, QSsl::Ec}) {
        QSslKey key(bytes, algorithm, QSsl::Pem);
        if (!key.isNull())
            return key;
    }
    return fail(ErrorCode::Denied,
                fmt::format("{}: {} holds no RSA or EC key in PEM form without a passphrase", flag, path));
}

} // namespace penstock::tls
