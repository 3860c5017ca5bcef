// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/cache_check.h"

#include "server/cache/detail/encoding.h"
#include "server/cache/detail/nar_check.h"

#include <fmt/format.h>
#include <optional>
#include <unordered_set>
#include <utility>

namespace penstock::cache {
namespace {

constexpr std::string_view kInfoEnding = ".narinfo";

class Walk {
public:
    Walk(ObjectStore& objects, const CacheCheckOptions& options,
         const std::function<void(const CacheFinding&)>& onFinding)
        : m_objects(objects), m_options(options), m_onFinding(onFinding)
    {}

    Result<CacheCheckSummary> run()
    {
        // Paths first: those that come while we walk may be referred to by those we read later, never the
        // other way.
        std::vector<std::string> infos;
        PENSTOCK_TRY_VOID(m_objects.list({}, [&](std::string_view key) {
            if (key.find('/') == std::string_view::npos && key.ends_with(kInfoEnding)) {
                infos.emplace_back(key);
                m_digests.emplace(key.substr(0, key.size() - kInfoEnding.size()));
            }
            return true;
        }));
        for (const std::string& key : infos)
            PENSTOCK_TRY_VOID(checkInfo(key));
        PENSTOCK_TRY_VOID(m_objects.list("nar/", [&](std::string_view key) {
            if (!m_files.contains(std::string(key)))
                found(CacheFault::OrphanNar, std::string(key), "no narinfo names it");
            return true;
        }));
        return m_summary;
    }

private:
    void found(CacheFault fault, const std::string& key, std::string message)
    {
        ++(isHarmless(fault) ? m_summary.orphans : m_summary.harmful);
        m_onFinding({fault, key, std::move(message)});
    }

    Result<void> checkInfo(const std::string& key)
    {
        ++m_summary.paths;
        const auto text = m_objects.getText(key, nix::kMaxNarInfoBytes);
        if (!text && text.error().code == ErrorCode::NotFound)
            return {}; // removed meanwhile
        if (!text)
            return fail(text.error());
        const auto decoded = detail::decodeText(*text, {}, nix::kMaxNarInfoBytes);
        if (!decoded) {
            found(CacheFault::BadNarInfo, key, decoded.error().message);
            return {};
        }
        const auto info = nix::parseNarInfo(m_options.storeDir, *decoded);
        if (!info) {
            found(CacheFault::BadNarInfo, key, info.error().message);
            return {};
        }
        if (key != std::string(info->path.digest()) + std::string(kInfoEnding))
            found(CacheFault::BadNarInfo, key, "it speaks of " + info->path.baseName());
        for (const nix::StorePath& reference : info->references)
            PENSTOCK_TRY_VOID(checkReference(key, reference));
        if (!m_options.trusted.empty() && info->contentAddress.empty() &&
            !nix::isSignedBy(m_options.trusted, info->signatures,
                             nix::fingerprint(m_options.storeDir, *info)))
            found(CacheFault::BadSignature, key, "no trusted key has signed it");
        m_files.insert(info->url);
        return checkFile(key, *info);
    }

    Result<void> checkReference(const std::string& key, const nix::StorePath& reference)
    {
        if (m_digests.contains(std::string(reference.digest())))
            return {};
        // Newer than our list, perhaps.
        PENSTOCK_TRY(const auto there,
                     m_objects.head(std::string(reference.digest()) + std::string(kInfoEnding)));
        if (!there)
            found(CacheFault::MissingReference, key, reference.baseName() + " is not in the cache");
        return {};
    }

    Result<void> checkFile(const std::string& key, const nix::NarInfo& info)
    {
        if (!checkKey(info.url)) {
            found(CacheFault::BadNarInfo, key, fmt::format("its URL {} is not within the cache", info.url));
            return {};
        }
        PENSTOCK_TRY(const auto object, m_objects.head(info.url));
        if (!object) {
            found(CacheFault::MissingNar, key, info.url + " is not there");
            return {};
        }
        if (info.fileSize && *info.fileSize != object->size) {
            found(CacheFault::WrongFile, key,
                  fmt::format("{} has {} bytes, {} are stated", info.url, object->size, *info.fileSize));
            return {};
        }
        return m_options.readsNars ? readFile(key, info) : Result<void>();
    }

    Result<void> readFile(const std::string& key, const nix::NarInfo& info)
    {
        auto method = compress::parseMethod(info.compression);
        auto check = detail::NarCheck::begin(m_options.storeDir, info, false);
        if (!method || !check) {
            found(CacheFault::BadNarInfo, key, !method ? method.error().message : check.error().message);
            return {};
        }
        PENSTOCK_TRY(const auto decoder, compress::makeDecoder(*method, UINT64_MAX));
        nix::Hasher hasher;
        Result<void> content;
        const ByteSink toCheck = [&](std::string_view nar) { return (*check)->push(nar); };
        // The whole file is hashed, however bad its beginning is: which of the two is wrong tells what
        // happened.
        PENSTOCK_TRY_VOID(m_objects.get(info.url, {}, [&](std::string_view bytes) -> Result<void> {
            hasher.update(bytes);
            if (content)
                content = decoder->push(bytes, toCheck);
            return {};
        }));
        const nix::Hash hash = std::move(hasher).finish();
        if (info.fileHash && *info.fileHash != hash)
            found(CacheFault::WrongFile, key,
                  fmt::format("{} has the hash {}, {} is stated", info.url, hash.prefixedBase32(),
                              info.fileHash->prefixedBase32()));
        if (content)
            content = decoder->finish(toCheck);
        if (content)
            if (auto facts = (*check)->finish(); !facts)
                content = fail(std::move(facts).error());
        if (!content)
            found(CacheFault::WrongNar, key, content.error().message);
        return {};
    }

    ObjectStore& m_objects;
    const CacheCheckOptions& m_options;
    const std::function<void(const CacheFinding&)>& m_onFinding;
    std::unordered_set<std::string> m_digests;
    std::unordered_set<std::string> m_files;
    CacheCheckSummary m_summary;
};

} // namespace

std::string_view toString(CacheFault fault)
{
    switch (fault) {
    case CacheFault::BadNarInfo: return "bad narinfo";
    case CacheFault::MissingNar: return "missing NAR";
    case CacheFault::WrongFile: return "wrong file";
    case CacheFault::WrongNar: return "wrong NAR";
    case CacheFault::MissingReference: return "missing reference";
    case CacheFault::BadSignature: return "bad signature";
    case CacheFault::OrphanNar: return "orphan NAR";
    }
    return "";
}

bool isHarmless(CacheFault fault)
{
    return fault == CacheFault::OrphanNar;
}

Result<CacheCheckSummary> checkCache(ObjectStore& objects, const CacheCheckOptions& options,
                                     const std::function<void(const CacheFinding&)>& onFinding)
{
    return Walk(objects, options, onFinding).run();
}

} // namespace penstock::cache
