// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/debug_info.h"

#include <algorithm>

namespace penstock::nix {
namespace {

bool isHexDigit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

} // namespace

Result<void> DebugInfoVisitor::onFile(std::string_view path, const NarFile&)
{
    constexpr std::string_view kFolder = "lib/debug/.build-id/";
    constexpr std::string_view kEnding = ".debug";
    if (!path.starts_with(kFolder) || !path.ends_with(kEnding) ||
        path.size() < kFolder.size() + 3 + kEnding.size())
        return {};
    const std::string_view middle =
        path.substr(kFolder.size(), path.size() - kFolder.size() - kEnding.size());
    if (middle[2] != '/')
        return {};
    std::string buildId(middle.substr(0, 2));
    buildId.append(middle.substr(3));
    if (buildId.size() % 2 != 0 || buildId.size() < 2 * kMinBuildId || buildId.size() > 2 * kMaxBuildId ||
        !std::all_of(buildId.begin(), buildId.end(), isHexDigit))
        return {};
    m_isCut = m_files.size() == kMaxDebugFiles;
    if (!m_isCut)
        m_files.push_back({std::move(buildId), std::string(path)});
    return {};
}

} // namespace penstock::nix
