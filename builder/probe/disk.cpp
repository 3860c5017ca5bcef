// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/probe/disk.h"

#include <sys/statvfs.h>

namespace penstock::builder {

std::optional<DiskSpace> readDisk(const std::string& path)
{
    struct statvfs info = {};
    if (::statvfs(path.c_str(), &info) != 0)
        return std::nullopt;
    return DiskSpace{info.f_bavail * info.f_frsize, info.f_blocks * info.f_frsize, info.f_favail,
                     info.f_files};
}

} // namespace penstock::builder
