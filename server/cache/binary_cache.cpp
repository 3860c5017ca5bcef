// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/binary_cache.h"

#include "server/cache/detail/encoding.h"
#include "server/cache/parallel.h"
#include "shared/nix/cache_info.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <utility>

namespace penstock::cache {
namespace {

constexpr const char* kCacheInfoKey = "nix-cache-info";
constexpr std::size_t kLogPiece = 64U << 10U;

std::string narInfoKey(std::string_view digest)
{
    return std::string(digest) + ".narinfo";
}

Result<void> checkDigest(std::string_view digest)
{
    const bool isOne = digest.size() == nix::kStoreDigestLength &&
                       std::all_of(digest.begin(), digest.end(),
                                   [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); });
    if (!isOne)
        return fail(ErrorCode::Invalid, "the digest of a store path has 32 characters of 0-9 and a-z");
    return {};
}

Result<std::string> logKey(std::string_view drvBaseName)
{
    PENSTOCK_TRY(const nix::StorePath path, nix::StorePath::fromBaseName(drvBaseName));
    if (!path.isDerivation())
        return fail(ErrorCode::Invalid, fmt::format("{} is not the base name of a .drv", path.baseName()));
    return "log/" + path.baseName();
}

} // namespace

BinaryCacheOptions binaryCacheOptions(const StoreUri& uri, std::vector<nix::SecretKey> keys)
{
    constexpr unsigned kThreads = 4; // as Hydra does
    BinaryCacheOptions options;
    options.storeDir = uri.storeDir;
    options.encoding = {uri.compression, uri.compressionLevel, uri.parallelCompression ? kThreads : 0};
    options.writeListings = uri.writeListings;
    options.writeDebugInfo = uri.writeDebugInfo;
    options.narInfoCompression = uri.narInfoCompression;
    options.listingCompression = uri.listingCompression;
    options.logCompression = uri.logCompression;
    options.keys = std::move(keys);
    if (uri.priority)
        options.priority = *uri.priority;
    options.wantMassQuery = uri.wantMassQuery;
    if (uri.kind == StoreKind::S3) {
        options.parallel = 32;
        options.reportUnstated = false; // a round trip each
    } else {
        // A file is looked at in microseconds, and an operator may remove some.
        options.presence.positive = std::chrono::minutes(1);
        options.presence.negative = Duration{0};
    }
    return options;
}

BinaryCache::BinaryCache(std::unique_ptr<ObjectStore> objects, BinaryCacheOptions options, const Clock& clock,
                         Logger& logger)
    : m_objects(std::move(objects)),
      m_options(std::move(options)),
      m_clock(clock),
      m_logger(logger),
      m_presence(m_options.presence)
{}

Result<std::unique_ptr<BinaryCache>> BinaryCache::open(std::unique_ptr<ObjectStore> objects,
                                                       BinaryCacheOptions options, const Clock& clock,
                                                       Logger& logger)
{
    if (auto encoder = compress::makeEncoder(options.encoding); !encoder)
        return fail(std::move(encoder).error().in(objects->describe()));
    std::unique_ptr<BinaryCache> cache(
        new BinaryCache(std::move(objects), std::move(options), clock, logger));
    if (auto checked = cache->checkCacheInfoOnce(); !checked) {
        // Invalid: no bucket of that name, another store directory. Corrupt: no nix-cache-info, but something.
        const bool mayPass = checked.error().code != ErrorCode::Invalid && checked.error().code != ErrorCode::Corrupt;
        if (!mayPass || !cache->m_options.mayBeAway)
            return fail(std::move(checked).error());
        logger.error("cache.away", {{"store", cache->describe()},
                                    {"error", checked.error().message},
                                    {"until", "it answers, what is in it is not known, and nothing is shown in it"}});
    }
    return cache;
}

Result<void> BinaryCache::checkCacheInfoOnce()
{
    { // not held while the store is asked: all who wait for one that hangs would wait in turn
        const MutexLock lock(m_infoMutex);
        if (m_isInfoChecked)
            return {};
    }
    if (auto checked = checkCacheInfo(); !checked)
        return fail(std::move(checked).error().in(describe()));
    const MutexLock lock(m_infoMutex);
    m_isInfoChecked = true;
    return {};
}

Result<void> BinaryCache::checkCacheInfo()
{
    PENSTOCK_TRY(const auto there, readText(kCacheInfoKey, nix::kMaxCacheInfoBytes));
    if (!there) {
        PutOptions options;
        options.contentType = "text/x-nix-cache-info";
        options.ifAbsent = true;
        const nix::CacheInfo info{m_options.storeDir, m_options.wantMassQuery, m_options.priority};
        auto put = m_objects->putText(kCacheInfoKey, nix::printCacheInfo(info), options);
        if (put || put.error().code != ErrorCode::Conflict)
            return put;
        return checkCacheInfo(); // somebody was faster
    }
    PENSTOCK_TRY(const nix::CacheInfo info, nix::parseCacheInfo(*there));
    if (info.storeDir && *info.storeDir != m_options.storeDir)
        return fail(ErrorCode::Invalid,
                    fmt::format("its nix-cache-info says StoreDir {}, this server's is {}; use another cache",
                                info.storeDir->text(), m_options.storeDir.text()));
    return {};
}

Result<std::optional<std::string>> BinaryCache::readText(std::string_view key, std::size_t maxBytes)
{
    auto text = m_objects->getText(key, maxBytes);
    if (!text && text.error().code == ErrorCode::NotFound)
        return std::nullopt;
    if (!text)
        return fail(std::move(text).error());
    auto decoded = detail::decodeText(*std::move(text), {}, maxBytes);
    // Brotli has no magic; a narinfo or a listing is told by its first letter.
    if (decoded && m_options.narInfoCompression == compress::Method::Brotli && key.ends_with(".narinfo") &&
        !decoded->starts_with('S'))
        decoded = detail::decodeText(*std::move(decoded), "br", maxBytes);
    if (decoded && m_options.listingCompression == compress::Method::Brotli && key.ends_with(".ls") &&
        !decoded->starts_with('{'))
        decoded = detail::decodeText(*std::move(decoded), "br", maxBytes);
    if (!decoded)
        return fail(std::move(decoded).error().in(fmt::format("{} of {}", key, describe())));
    return *std::move(decoded);
}

Result<SmallObject> BinaryCache::textObject(std::string key, std::string text, std::string contentType,
                                            compress::Method compression) const
{
    SmallObject object{std::move(key), std::move(text), {}};
    object.options.contentType = std::move(contentType);
    if (compression == compress::Method::None)
        return object;
    PENSTOCK_TRY(object.text, detail::encodeText(object.text, compression));
    object.options.contentEncoding = std::string(compress::toString(compression));
    return object;
}

Result<BinaryCache::Info> BinaryCache::load(std::string_view digest)
{
    const auto text = readText(narInfoKey(digest), nix::kMaxNarInfoBytes);
    if (!text && text.error().code == ErrorCode::Exhausted) // too large: no waiting makes it smaller
        return fail(ErrorCode::Corrupt,
                    fmt::format("{}.narinfo of {}: {}; remove it", digest, describe(), text.error().message));
    if (!text)
        return fail(text.error());
    if (!*text)
        return Info();
    auto info = nix::parseNarInfo(m_options.storeDir, **text);
    if (info && info->path.digest() != digest)
        return fail(ErrorCode::Corrupt, fmt::format("{}.narinfo of {} speaks of {}; remove it", digest,
                                                    describe(), info->path.baseName()));
    if (!info)
        return fail(ErrorCode::Corrupt,
                    fmt::format("{}.narinfo of {}: {}; remove it", digest, describe(), info.error().message));
    return std::make_shared<const nix::NarInfo>(*std::move(info));
}

Result<BinaryCache::Info> BinaryCache::lookUp(std::string_view digest)
{
    if (const auto known = m_presence.find(digest, now()))
        return *known;
    PENSTOCK_TRY(Info info, load(digest));
    m_presence.put(digest, info, now());
    return info;
}

Result<std::optional<nix::NarInfo>> BinaryCache::find(const nix::StorePath& path)
{
    PENSTOCK_TRY(const Info info, lookUp(path.digest()));
    if (!info || info->path != path)
        return std::nullopt;
    return *info;
}

Result<std::optional<nix::NarInfo>> BinaryCache::findDigest(std::string_view digest)
{
    PENSTOCK_TRY_VOID(checkDigest(digest));
    PENSTOCK_TRY(const Info info, lookUp(digest));
    if (!info)
        return std::nullopt;
    return *info;
}

Result<nix::StorePathSet> BinaryCache::findMany(const nix::StorePathSet& paths)
{
    nix::StorePathSet found;
    std::vector<const nix::StorePath*> asked;
    for (const nix::StorePath& path : paths)
        if (const auto known = m_presence.find(path.digest(), now())) {
            if (*known && (*known)->path == path)
                found.insert(found.end(), path);
        } else {
            asked.push_back(&path);
        }
    std::vector<char> isThere(asked.size(), 0); // not vector<bool>: threads write beside each other
    const auto ask = [&](std::size_t i) -> Result<void> {
        PENSTOCK_TRY(const auto info, find(*asked[i]));
        isThere[i] = info ? 1 : 0;
        return {};
    };
    PENSTOCK_TRY_VOID(parallelFor(asked.size(), m_options.parallel, ask));
    for (std::size_t i = 0; i < asked.size(); ++i)
        if (isThere[i] != 0)
            found.insert(*asked[i]);
    return found;
}

Result<void> BinaryCache::readFile(const nix::NarInfo& info, ByteRange range, const ByteSink& sink)
{
    auto done = m_objects->get(info.url, range, sink);
    if (!done && done.error().code == ErrorCode::NotFound)
        m_presence.forget(info.path.digest()); // removed behind our back
    return done;
}

Result<void> BinaryCache::readNar(const nix::NarInfo& info, const ByteSink& sink)
{
    PENSTOCK_TRY(const compress::Method method, compress::parseMethod(info.compression));
    PENSTOCK_TRY(const auto decoder, compress::makeDecoder(method, UINT64_MAX));
    nix::Hasher hasher;
    const std::string path = info.path.print(m_options.storeDir);
    const ByteSink check = [&](std::string_view nar) -> Result<void> {
        if (nar.size() > info.narSize - hasher.byteCount())
            return fail(ErrorCode::Corrupt, fmt::format("{} in {}: its NAR is larger than {} bytes", path,
                                                        describe(), info.narSize));
        hasher.update(nar);
        return sink(nar);
    };
    PENSTOCK_TRY_VOID(
        readFile(info, {}, [&](std::string_view bytes) { return decoder->push(bytes, check); }));
    PENSTOCK_TRY_VOID(decoder->finish(check));
    const std::uint64_t size = hasher.byteCount();
    const nix::Hash hash = std::move(hasher).finish();
    if (size != info.narSize || hash != info.narHash)
        return fail(ErrorCode::Corrupt,
                    fmt::format("{} in {}: its NAR has {} bytes and the hash {}, it should have "
                                "{} and {}",
                                path, describe(), size, hash.prefixedBase32(), info.narSize,
                                info.narHash.prefixedBase32()));
    return {};
}

Result<void> BinaryCache::putLog(std::string_view drvBaseName, const ByteSource& text)
{
    PENSTOCK_TRY(const std::string key, logKey(drvBaseName));
    PutOptions options;
    options.contentType = "text/plain; charset=utf-8";
    if (m_options.logCompression != compress::Method::None)
        options.contentEncoding = std::string(compress::toString(m_options.logCompression));
    PENSTOCK_TRY(const auto encoder, compress::makeEncoder({m_options.logCompression}));
    PENSTOCK_TRY(const auto writer, m_objects->create(key, options));
    const ByteSink sink = [&](std::string_view bytes) { return writer->write(bytes); };
    std::array<char, kLogPiece> piece{};
    for (;;) {
        PENSTOCK_TRY(const std::size_t got, text(piece));
        if (got == 0)
            break;
        PENSTOCK_TRY_VOID(encoder->push(std::string_view(piece.data(), got), sink));
    }
    PENSTOCK_TRY_VOID(encoder->finish(sink));
    return writer->commit();
}

Result<std::optional<std::string>> BinaryCache::getLog(std::string_view drvBaseName, std::size_t maxBytes)
{
    PENSTOCK_TRY(const std::string key, logKey(drvBaseName));
    PENSTOCK_TRY(const auto info, m_objects->head(key));
    if (!info)
        return std::nullopt;
    auto text = m_objects->getText(key, maxBytes);
    if (!text && text.error().code == ErrorCode::NotFound)
        return std::nullopt;
    if (!text)
        return fail(std::move(text).error());
    auto decoded = detail::decodeText(*std::move(text), info->contentEncoding, maxBytes);
    if (!decoded)
        return fail(std::move(decoded).error().in(fmt::format("{} of {}", key, describe())));
    return *std::move(decoded);
}

Result<void> BinaryCache::putRealisation(const nix::Realisation& realisation)
{
    // The path comes first: a client that reads the realisation asks for it next.
    PENSTOCK_TRY(const auto there, find(realisation.path));
    if (!there)
        return fail(ErrorCode::Invalid, fmt::format("realisation {}: {} is not in {}", realisation.id.print(),
                                                    realisation.path.baseName(), describe()));
    nix::Realisation signedOne = realisation;
    for (const nix::SecretKey& key : m_options.keys)
        nix::sign(signedOne, key);
    const std::string text = nix::printRealisation(signedOne);
    if (text.size() > nix::kMaxRealisationBytes)
        return fail(ErrorCode::Exhausted,
                    fmt::format("realisation {}: it has {} bytes, the limit is {}", realisation.id.print(),
                                text.size(), nix::kMaxRealisationBytes));
    PutOptions options;
    options.contentType = "application/json";
    return m_objects->putText(nix::realisationKey(realisation.id), text, options);
}

Result<std::optional<std::string>> BinaryCache::readSideFile(std::string_view key, std::size_t maxBytes)
{
    const bool isListing = key.size() == nix::kStoreDigestLength + 3 && key.ends_with(".ls") &&
                           checkDigest(key.substr(0, nix::kStoreDigestLength)).has_value();
    if (!isListing && !key.starts_with("realisations/") && !key.starts_with("debuginfo/"))
        return fail(ErrorCode::Invalid, fmt::format("{} is no listing, realisation or debug link", key));
    return readText(key, maxBytes);
}

} // namespace penstock::cache
