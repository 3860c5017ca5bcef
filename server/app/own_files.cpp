// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/own_files.h"

#include "shared/base/text.h"

#include <QSaveFile>
#include <filesystem>
#include <fmt/format.h>

namespace penstock::app {
namespace {

Result<void> writeWhole(const std::string& option, const std::string& path, const std::string& text)
{
    QSaveFile file(QString::fromStdString(path)); // renamed into place, so a reader never sees half of it
    if (!file.open(QIODevice::WriteOnly) || file.write(text.data(), static_cast<qint64>(text.size())) < 0 ||
        !file.commit())
        return fail(ErrorCode::Internal,
                    fmt::format("{} {}: {}", option, path, file.errorString().toStdString()));
    return {};
}

} // namespace

Result<void> makeDataDir(const std::string& path)
{
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error)
        return fail(ErrorCode::Internal,
                    fmt::format("--data-dir {}: {}; choose a directory that this user may write", path,
                                error.message()));
    return {};
}

std::string addressFile(const std::string& dataDir)
{
    return dataDir + "/penstock-server.address";
}

Result<void> tellAddresses(const ServerOptions& options, const std::vector<std::string>& addresses,
                           const std::string& ports)
{
    PENSTOCK_TRY_VOID(writeWhole("--data-dir", addressFile(options.dataDir), join(addresses, "\n") + "\n"));
    if (options.portFile.empty())
        return {};
    return writeWhole("--port-file", options.portFile, ports);
}

} // namespace penstock::app
