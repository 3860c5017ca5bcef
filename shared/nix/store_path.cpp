// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/store_path.h"

#include "shared/base/text.h"
#include "shared/nix/base32.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

bool isNameCharacter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("+-._?=").find(c) != std::string_view::npos;
}

// What is shown of a bad text: short, and printable whatever it holds.
std::string shown(std::string_view text)
{
    constexpr std::size_t kShown = 200;
    std::string safe;
    for (const char c : text.substr(0, kShown))
        safe.push_back(c >= ' ' && c <= '~' ? c : '?');
    if (text.size() > kShown)
        safe.append("…");
    return safe;
}

tl::unexpected<Error> bad(std::string_view what, std::string_view text, std::string_view why)
{
    return fail(ErrorCode::Invalid, fmt::format("{} \"{}\" {}", what, shown(text), why));
}

Result<StorePath> makePath(const StoreDir& dir, std::string_view type, std::string_view inner,
                           std::string_view name)
{
    PENSTOCK_TRY_VOID(checkStoreName(name));
    const Hash full = hashOf(fmt::format("{}:sha256:{}:{}:{}", type, inner, dir.text(), name));
    std::array<std::byte, 20> folded{};
    const ByteView bytes = full.bytes();
    for (std::size_t i = 0; i < bytes.size(); ++i)
        folded[i % folded.size()] ^= bytes[i];
    return StorePath::fromBaseName(fmt::format("{}-{}", encodeBase32(folded), name));
}

std::string withReferences(std::string_view type, const StoreDir& dir, const StorePathSet& references)
{
    std::string text(type);
    for (const StorePath& reference : references)
        text.append(":").append(reference.print(dir));
    return text;
}

} // namespace

Result<StoreDir> StoreDir::parse(std::string_view text)
{
    constexpr std::string_view kWhat = "store directory";
    if (text.size() > kMaxStoreDirLength)
        return bad(kWhat, text,
                   fmt::format("has {} bytes; at most {} are allowed", text.size(), kMaxStoreDirLength));
    if (text.size() < 2 || text.front() != '/' || text.back() == '/')
        return bad(kWhat, text, "must be an absolute path without a slash at its end, such as /nix/store");
    for (const std::string_view part : split(text.substr(1), '/'))
        if (part.empty() || part == "." || part == "..")
            return bad(kWhat, text, "must have no empty, . or .. component");
    const auto isControl = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
    if (std::any_of(text.begin(), text.end(), isControl))
        return bad(kWhat, text, "has a control character");
    return StoreDir(std::string(text));
}

StoreDir StoreDir::standard()
{
    return StoreDir("/nix/store");
}

Result<void> checkStoreName(std::string_view name)
{
    constexpr std::string_view kWhat = "store path name";
    if (name.empty() || name.size() > kMaxStoreNameLength)
        return bad(kWhat, name,
                   fmt::format("has {} characters; 1 to {} are allowed", name.size(), kMaxStoreNameLength));
    if (!std::all_of(name.begin(), name.end(), isNameCharacter))
        return bad(kWhat, name, "may have only letters, digits and + - . _ ? =");
    if (const std::string_view first = name.substr(0, name.find('-')); first == "." || first == "..")
        return bad(kWhat, name, "may not be or begin with a dash-separated . or ..");
    return {};
}

Result<StorePath> StorePath::fromBaseName(std::string_view baseName)
{
    constexpr std::string_view kWhat = "store path";
    if (baseName.size() < kStoreDigestLength + 2 || baseName[kStoreDigestLength] != '-')
        return bad(kWhat, baseName, "is not a digest of 32 characters, a dash and a name");
    const std::string_view digest = baseName.substr(0, kStoreDigestLength);
    if (!std::all_of(digest.begin(), digest.end(), isBase32Character))
        return bad(kWhat, baseName, "has a digest with characters outside of Nix's base 32");
    PENSTOCK_TRY_VOID(checkStoreName(baseName.substr(kStoreDigestLength + 1)));
    return StorePath(std::string(baseName));
}

Result<StorePath> StorePath::parse(const StoreDir& dir, std::string_view fullPath)
{
    const std::size_t length = dir.text().size();
    if (!fullPath.starts_with(dir.text()) || fullPath.size() <= length || fullPath[length] != '/')
        return bad("path", fullPath, fmt::format("is not in the store directory {}", dir.text()));
    return fromBaseName(fullPath.substr(length + 1));
}

std::string StorePath::print(const StoreDir& dir) const
{
    std::string text;
    text.reserve(dir.text().size() + 1 + m_baseName.size());
    text.append(dir.text()).append("/").append(m_baseName);
    return text;
}

Result<StorePath> computeTextPath(const StoreDir& dir, std::string_view name, const Hash& content,
                                  const StorePathSet& references)
{
    if (content.algorithm() != HashAlgorithm::Sha256)
        return fail(ErrorCode::Invalid, "a text path needs a sha256 of its content");
    return makePath(dir, withReferences("text", dir, references), content.base16(), name);
}

Result<StorePath> computeSourcePath(const StoreDir& dir, std::string_view name, const Hash& narHash,
                                    const SourceReferences& references)
{
    if (narHash.algorithm() != HashAlgorithm::Sha256)
        return fail(ErrorCode::Invalid, "a source path needs a sha256 of its NAR");
    std::string type = withReferences("source", dir, references.others);
    if (references.self)
        type.append(":self");
    return makePath(dir, type, narHash.base16(), name);
}

Result<StorePath> computeFixedPath(const StoreDir& dir, std::string_view name, FileMethod method,
                                   const Hash& hash)
{
    if (method == FileMethod::Recursive && hash.algorithm() == HashAlgorithm::Sha256)
        return computeSourcePath(dir, name, hash, {});
    const std::string_view prefix = method == FileMethod::Recursive ? "r:" : "";
    const Hash inner = hashOf(fmt::format("fixed:out:{}{}:", prefix, hash.prefixedBase16()));
    return makePath(dir, "output:out", inner.base16(), name);
}

Result<StorePath> computeOutputPath(const StoreDir& dir, std::string_view drvName,
                                    std::string_view outputName, const Hash& modulo)
{
    return makePath(dir, fmt::format("output:{}", outputName), modulo.base16(),
                    outputStoreName(drvName, outputName));
}

std::string outputStoreName(std::string_view drvName, std::string_view outputName)
{
    std::string name(drvName);
    if (outputName != "out")
        name.append("-").append(outputName);
    return name;
}

} // namespace penstock::nix
