// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/narinfo.h"

#include "shared/base/text.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

constexpr std::string_view kNoDeriver = "unknown-deriver";

std::string shown(std::string_view text)
{
    constexpr std::size_t kShown = 80;
    std::string safe;
    for (const char c : text.substr(0, kShown))
        safe.push_back(c >= ' ' && c <= '~' ? c : '?');
    return safe;
}

// One text's fields as they come. Keys other than Sig may be there once: a second one would leave it to the
// reader which counts, and signatures cover only what the signer read.
class NarInfoReader {
public:
    NarInfoReader(const StoreDir& dir, NarInfoKind kind) : m_dir(dir), m_kind(kind) {}

    Result<NarInfo> read(std::string_view text)
    {
        if (text.size() > kMaxNarInfoBytes)
            return fail(ErrorCode::Exhausted, fmt::format("narinfo: has {} bytes; at most {} are read",
                                                          text.size(), kMaxNarInfoBytes));
        while (!text.empty()) {
            ++m_line;
            const std::size_t end = text.find('\n');
            if (end == std::string_view::npos)
                return bad("is cut short: no newline at its end");
            PENSTOCK_TRY_VOID(line(text.substr(0, end)));
            text.remove_prefix(end + 1);
        }
        return whole();
    }

private:
    using Setter = Result<void> (NarInfoReader::*)(std::string_view);
    struct Field {
        std::string_view key;
        Setter set;
        bool mayRepeat = false;
    };
    static constexpr std::size_t kFieldCount = 12;
    static const std::array<Field, kFieldCount>& fields();

    [[nodiscard]] tl::unexpected<Error> bad(std::string_view why) const
    {
        return fail(ErrorCode::Invalid, fmt::format("narinfo line {}: {}", m_line, why));
    }

    Result<void> line(std::string_view text)
    {
        const std::size_t colon = text.find(':');
        if (colon == std::string_view::npos)
            return bad(fmt::format("\"{}\" is not of the form Key: value", shown(text)));
        const std::string_view key = text.substr(0, colon);
        std::string_view value = text.substr(colon + 1);
        if (value.starts_with(' '))
            value.remove_prefix(1);
        for (std::size_t i = 0; i < fields().size(); ++i) {
            const Field& field = fields()[i];
            if (field.key != key)
                continue;
            const auto isControl = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
            if (std::any_of(value.begin(), value.end(), isControl))
                return bad(fmt::format("{} has a control character in \"{}\"", key, shown(value)));
            if (std::exchange(m_isSeen[i], true) && !field.mayRepeat)
                return bad(fmt::format("{} is there a second time", key));
            if (auto set = (this->*field.set)(value); !set)
                return fail(std::move(set.error()).in(fmt::format("narinfo line {}: {}", m_line, key)));
            break;
        }
        return {};
    }

    Result<NarInfo> whole()
    {
        const bool isWithFile = m_kind == NarInfoKind::WithFile;
        if (!m_path)
            return fail(ErrorCode::Invalid, "narinfo: has no StorePath");
        if (isWithFile && m_url.empty())
            return fail(ErrorCode::Invalid, fmt::format("narinfo of {}: has no URL", m_path->baseName()));
        if (!m_narHash)
            return fail(ErrorCode::Invalid, fmt::format("narinfo of {}: has no NarHash", m_path->baseName()));
        if (m_narSize == 0)
            return fail(ErrorCode::Invalid, fmt::format("narinfo of {}: has no NarSize", m_path->baseName()));
        if (isWithFile && m_compression.empty())
            m_compression = "bzip2";
        return NarInfo{*std::move(m_path),
                       std::move(m_url),
                       std::move(m_compression),
                       m_fileHash,
                       m_fileSize,
                       *m_narHash,
                       m_narSize,
                       std::move(m_references),
                       std::move(m_deriver),
                       std::move(m_system),
                       std::move(m_signatures),
                       std::move(m_contentAddress)};
    }

    Result<void> setPath(std::string_view value)
    {
        PENSTOCK_TRY(m_path, StorePath::parse(m_dir, value));
        return {};
    }
    Result<void> setUrl(std::string_view value) { return assign(m_url, value); }
    Result<void> setCompression(std::string_view value) { return assign(m_compression, value); }
    Result<void> setFileHash(std::string_view value)
    {
        PENSTOCK_TRY(m_fileHash, Hash::parse(value));
        return {};
    }
    Result<void> setFileSize(std::string_view value)
    {
        PENSTOCK_TRY(m_fileSize, parseUnsigned(value));
        return {};
    }
    Result<void> setNarHash(std::string_view value)
    {
        PENSTOCK_TRY(m_narHash, Hash::parse(value));
        if (m_narHash->algorithm() != HashAlgorithm::Sha256)
            return fail(ErrorCode::Invalid,
                        fmt::format("must be sha256, not {}", toString(m_narHash->algorithm())));
        return {};
    }
    Result<void> setNarSize(std::string_view value)
    {
        PENSTOCK_TRY(m_narSize, parseUnsigned(value));
        if (m_narSize == 0)
            return fail(ErrorCode::Invalid, "is 0; no archive is empty");
        return {};
    }
    Result<void> setReferences(std::string_view value)
    {
        for (const std::string_view name : split(value, ' ')) {
            if (name.empty())
                continue;
            PENSTOCK_TRY(StorePath path, StorePath::fromBaseName(name));
            if (m_references.size() >= kMaxReferences && !m_references.contains(path))
                return fail(ErrorCode::Exhausted,
                            fmt::format("has more than the {} references that are read", kMaxReferences));
            m_references.insert(std::move(path));
        }
        return {};
    }
    Result<void> setDeriver(std::string_view value)
    {
        if (value.empty() || value == kNoDeriver)
            return {};
        PENSTOCK_TRY(m_deriver, StorePath::fromBaseName(value));
        return {};
    }
    Result<void> setSystem(std::string_view value) { return assign(m_system, value); }
    Result<void> addSignature(std::string_view value)
    {
        if (value.empty())
            return fail(ErrorCode::Invalid, "is empty; it must be NAME:BASE64");
        if (m_signatures.size() >= kMaxSignatures)
            return fail(ErrorCode::Exhausted,
                        fmt::format("is one more than the {} that are read", kMaxSignatures));
        m_signatures.emplace_back(value);
        return {};
    }
    Result<void> setContentAddress(std::string_view value) { return assign(m_contentAddress, value); }
    static Result<void> assign(std::string& field, std::string_view value)
    {
        field = value;
        return {};
    }

    const StoreDir& m_dir;
    NarInfoKind m_kind;
    std::size_t m_line = 0;
    std::array<bool, kFieldCount> m_isSeen{};
    std::optional<StorePath> m_path, m_deriver;
    std::string m_url, m_compression, m_system, m_contentAddress;
    std::optional<Hash> m_fileHash, m_narHash;
    std::optional<std::uint64_t> m_fileSize;
    std::uint64_t m_narSize = 0;
    StorePathSet m_references;
    std::vector<std::string> m_signatures;
};

const std::array<NarInfoReader::Field, NarInfoReader::kFieldCount>& NarInfoReader::fields()
{
    static const std::array<Field, kFieldCount> kFields{{
        {"StorePath", &NarInfoReader::setPath},
        {"URL", &NarInfoReader::setUrl},
        {"Compression", &NarInfoReader::setCompression},
        {"FileHash", &NarInfoReader::setFileHash},
        {"FileSize", &NarInfoReader::setFileSize},
        {"NarHash", &NarInfoReader::setNarHash},
        {"NarSize", &NarInfoReader::setNarSize},
        {"References", &NarInfoReader::setReferences},
        {"Deriver", &NarInfoReader::setDeriver},
        {"System", &NarInfoReader::setSystem},
        {"Sig", &NarInfoReader::addSignature, true},
        {"CA", &NarInfoReader::setContentAddress},
    }};
    return kFields;
}

void appendLine(std::string& out, std::string_view key, std::string_view value)
{
    out.append(key).append(": ").append(value).push_back('\n');
}

} // namespace

Result<NarInfo> parseNarInfo(const StoreDir& dir, std::string_view text, NarInfoKind kind)
{
    return NarInfoReader(dir, kind).read(text);
}

std::string printNarInfo(const StoreDir& dir, const NarInfo& info)
{
    std::string out;
    const auto unlessEmpty = [&out](std::string_view key, std::string_view value) {
        if (!value.empty())
            appendLine(out, key, value);
    };
    appendLine(out, "StorePath", info.path.print(dir));
    unlessEmpty("URL", info.url);
    unlessEmpty("Compression", info.compression);
    if (info.fileHash)
        appendLine(out, "FileHash", info.fileHash->prefixedBase32());
    if (info.fileSize)
        appendLine(out, "FileSize", std::to_string(*info.fileSize));
    appendLine(out, "NarHash", info.narHash.prefixedBase32());
    appendLine(out, "NarSize", std::to_string(info.narSize));
    std::string references;
    for (const StorePath& reference : info.references)
        references.append(references.empty() ? "" : " ").append(reference.baseName());
    appendLine(out, "References", references);
    if (info.deriver)
        appendLine(out, "Deriver", info.deriver->baseName());
    unlessEmpty("System", info.system);
    for (const std::string& signature : info.signatures)
        appendLine(out, "Sig", signature);
    unlessEmpty("CA", info.contentAddress);
    return out;
}

Result<std::vector<NarInfo>> parseNarInfos(const StoreDir& dir, std::string_view text, NarInfoKind kind)
{
    std::vector<NarInfo> infos;
    while (!text.empty()) {
        const std::size_t gap = text.find("\n\n");
        const bool isLast = gap == std::string_view::npos;
        auto info = parseNarInfo(dir, isLast ? text : text.substr(0, gap + 1), kind);
        if (!info)
            return fail(std::move(info.error()).in(fmt::format("path {} of the list", infos.size() + 1)));
        infos.push_back(*std::move(info));
        text.remove_prefix(isLast ? text.size() : gap + 2);
    }
    return infos;
}

std::string printNarInfos(const StoreDir& dir, const std::vector<NarInfo>& infos)
{
    std::string out;
    for (const NarInfo& info : infos) {
        if (!out.empty())
            out.push_back('\n');
        out.append(printNarInfo(dir, info));
    }
    return out;
}

std::string fingerprint(const StoreDir& dir, const NarInfo& info)
{
    std::string references;
    for (const StorePath& reference : info.references)
        references.append(references.empty() ? "" : ",").append(reference.print(dir));
    return fmt::format("1;{};{};{};{}", info.path.print(dir), info.narHash.prefixedBase32(), info.narSize,
                       references);
}

} // namespace penstock::nix
