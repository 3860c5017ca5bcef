// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/local_store.h"

#include "server/cache/detail/file_io.h"
#include "server/cache/detail/nar_check.h"
#include "server/cache/detail/order.h"
#include "server/cache/local_files.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::cache {
namespace {

constexpr std::string_view kStaged = "staged/";
constexpr std::size_t kReadBytes = 1U << 20U;
constexpr std::uint64_t kMaxOverhead = 1U << 20U; // of a compressed body over its NAR

Result<std::string> logKey(std::string_view drvBaseName)
{
    PENSTOCK_TRY(const nix::StorePath path, nix::StorePath::fromBaseName(drvBaseName));
    if (!path.isDerivation())
        return fail(ErrorCode::Invalid, fmt::format("{} is not the base name of a .drv", path.baseName()));
    return "log/" + path.baseName();
}

// A staged file decompressed piece by piece as it is asked for.
class StagedSource {
public:
    StagedSource(ObjectStore& objects, std::string key, std::uint64_t size,
                 std::unique_ptr<compress::Decoder> decoder)
        : m_objects(objects), m_key(std::move(key)), m_size(size), m_decoder(std::move(decoder))
    {}
    Result<std::size_t> read(std::span<char> to)
    {
        while (m_ready.size() == m_given && !m_isFinished)
            PENSTOCK_TRY_VOID(decodeMore());
        const std::size_t count = std::string_view(m_ready).substr(m_given).copy(to.data(), to.size());
        m_given += count;
        return count;
    }

private:
    Result<void> decodeMore()
    {
        m_ready.clear();
        m_given = 0;
        const ByteSink keep = [this](std::string_view bytes) -> Result<void> {
            m_ready.append(bytes);
            return {};
        };
        if (m_at == m_size) {
            m_isFinished = true;
            return m_decoder->finish(keep);
        }
        // Small, as what comes out may be much larger.
        constexpr std::uint64_t kPiece = 64U << 10U;
        const std::uint64_t length = std::min(kPiece, m_size - m_at);
        m_at += length;
        return m_objects.get(m_key, {m_at - length, length},
                             [&](std::string_view bytes) { return m_decoder->push(bytes, keep); });
    }

    ObjectStore& m_objects;
    const std::string m_key;
    const std::uint64_t m_size;
    const std::unique_ptr<compress::Decoder> m_decoder;
    std::uint64_t m_at = 0;
    std::string m_ready;
    std::size_t m_given = 0;
    bool m_isFinished = false;
};

} // namespace

class LocalIntake final : public NarIntake {
public:
    LocalIntake(LocalStore& store, nix::NarInfo announced, compress::Method body,
                std::unique_ptr<detail::NarCheck> check)
        : m_store(store), m_info(std::move(announced)), m_body(body), m_check(std::move(check))
    {}
    Result<void> begin()
    {
        PENSTOCK_TRY(m_decoder, compress::makeDecoder(m_body, UINT64_MAX)); // the check knows the size
        m_key = m_store.newKey(m_info.path);
        PutOptions options;
        options.syncLater = true; // never needed after a restart
        PENSTOCK_TRY(m_writer, m_store.m_beside->create(m_key, options));
        return {};
    }
    Result<void> push(std::string_view bytes) override
    {
        if (m_failed)
            return fail(*m_failed);
        auto done = keep(bytes);
        if (!done)
            m_failed = done.error();
        return done;
    }
    Result<nix::NarInfo> finish() override
    {
        if (m_failed)
            return fail(*m_failed);
        PENSTOCK_TRY_VOID(m_decoder->finish([this](std::string_view nar) { return m_check->push(nar); }));
        PENSTOCK_TRY([[maybe_unused]] const auto facts, m_check->finish());
        PENSTOCK_TRY_VOID(m_writer->commit());
        nix::NarInfo staged = m_store.withFile(m_info);
        m_store.stage({staged, m_key, m_body});
        return staged;
    }

private:
    Result<void> keep(std::string_view bytes)
    {
        m_received += bytes.size();
        if (m_received > m_info.narSize + m_info.narSize / 8 + kMaxOverhead)
            return fail(ErrorCode::Corrupt,
                        fmt::format("{}: its {} compressed bytes are more than the {} of its NAR",
                                    m_info.path.baseName(), m_received, m_info.narSize));
        PENSTOCK_TRY_VOID(m_writer->write(bytes));
        return m_decoder->push(bytes, [this](std::string_view nar) { return m_check->push(nar); });
    }

    LocalStore& m_store;
    const nix::NarInfo m_info;
    const compress::Method m_body;
    const std::unique_ptr<detail::NarCheck> m_check;
    std::unique_ptr<compress::Decoder> m_decoder;
    std::string m_key;
    std::unique_ptr<ObjectWriter> m_writer;
    std::uint64_t m_received = 0;
    std::optional<Error> m_failed;
};

LocalStore::LocalStore(nixstore::StoreAccess& store, std::unique_ptr<ObjectStore> beside,
                       LocalStoreOptions options, Logger& logger)
    : m_store(store),
      m_beside(std::move(beside)),
      m_options(std::move(options)),
      m_logger(logger),
      m_files(std::make_unique<LocalFiles>(*this, *m_beside)),
      m_newRoots(m_options.maxRoots)
{}

Result<std::unique_ptr<LocalStore>> LocalStore::open(nixstore::StoreAccess& store,
                                                     std::unique_ptr<ObjectStore> beside,
                                                     LocalStoreOptions options, Logger& logger)
{
    std::vector<std::string> leftovers;
    PENSTOCK_TRY_VOID(beside->list(kStaged, [&leftovers](std::string_view key) {
        leftovers.emplace_back(key);
        return true;
    }));
    for (const std::string& key : leftovers)
        PENSTOCK_TRY_VOID(beside->remove(key));
    if (!options.rootsDirectory.empty())
        PENSTOCK_TRY_VOID(detail::makeDirectories(options.rootsDirectory));
    return std::unique_ptr<LocalStore>(new LocalStore(store, std::move(beside), std::move(options), logger));
}

std::string LocalStore::narKey(const nix::NarInfo& announced) const
{
    return localNarKey(announced);
}

compress::EncoderOptions LocalStore::wantedEncoding() const
{
    return {compress::Method::Zstd, 1, 0}; // it lives from the upload to the publication only
}

nix::NarInfo LocalStore::withFile(nix::NarInfo info) const
{
    info.url = narKey(info);
    info.compression = "none";
    info.fileHash = info.narHash;
    info.fileSize = info.narSize;
    return info;
}

Result<std::optional<nix::NarInfo>> LocalStore::find(const nix::StorePath& path)
{
    PENSTOCK_TRY(auto info, m_store.info(path));
    if (!info)
        return std::nullopt;
    return withFile(*std::move(info));
}

Result<std::optional<nix::NarInfo>> LocalStore::findDigest(std::string_view digest)
{
    PENSTOCK_TRY(const auto path, m_options.pathOfDigest(digest));
    if (!path)
        return std::nullopt;
    return find(*path);
}

Result<nix::StorePathSet> LocalStore::findMany(const nix::StorePathSet& paths)
{
    return m_store.validPaths(paths, false);
}

Result<void> LocalStore::readFile(const nix::NarInfo& info, ByteRange range, const ByteSink& sink)
{
    if (range.offset != 0 && range.offset >= info.narSize)
        return fail(ErrorCode::Invalid, fmt::format("a range of {} begins at {}, it has {} bytes", info.url,
                                                    range.offset, info.narSize));
    std::uint64_t skip = range.offset;
    std::uint64_t left = std::min(range.length.value_or(info.narSize), info.narSize - range.offset);
    const bool isWhole = left == info.narSize;
    bool hasEnough = false;
    auto done = m_store.readNar(info, [&](std::string_view bytes) -> Result<void> {
        const std::size_t skipped = std::min<std::uint64_t>(skip, bytes.size());
        skip -= skipped;
        bytes.remove_prefix(skipped);
        bytes = bytes.substr(0, std::min<std::uint64_t>(left, bytes.size()));
        left -= bytes.size();
        if (!bytes.empty())
            PENSTOCK_TRY_VOID(sink(bytes));
        hasEnough = left == 0 && !isWhole; // a whole one is read to its end, where its hash is checked
        return hasEnough ? fail(ErrorCode::Cancelled, "the range is whole") : Result<void>();
    });
    return hasEnough ? Result<void>() : done;
}

Result<void> LocalStore::readNar(const nix::NarInfo& info, const ByteSink& sink)
{
    return m_store.readNar(info, sink);
}

Result<std::unique_ptr<NarIntake>> LocalStore::receive(const nix::NarInfo& announced, compress::Method body)
{
    PENSTOCK_TRY(auto check, detail::NarCheck::begin(storeDir(), announced, false));
    auto intake = std::make_unique<LocalIntake>(*this, announced, body, std::move(check));
    PENSTOCK_TRY_VOID(intake->begin());
    return intake;
}

Result<nix::NarInfo> LocalStore::adopt(const nix::NarInfo& announced, compress::Method /*body*/)
{
    return fail(ErrorCode::Invalid, fmt::format("{}: the local store takes uploads through the server only",
                                                announced.path.baseName()));
}

std::string LocalStore::newKey(const nix::StorePath& path)
{
    const MutexLock lock(m_mutex);
    return fmt::format("{}{}-{}", kStaged, ++m_lastKey, path.digest());
}

void LocalStore::stage(StagedFile file)
{
    std::string replaced;
    {
        const MutexLock lock(m_mutex);
        const auto found = m_staged.find(file.info.path);
        if (found != m_staged.end())
            replaced = found->second.key;
        m_staged.insert_or_assign(file.info.path, file);
    }
    if (!replaced.empty())
        discard(replaced);
}

std::optional<LocalStore::StagedFile> LocalStore::staged(const nix::NarInfo& info)
{
    const MutexLock lock(m_mutex);
    const auto found = m_staged.find(info.path);
    if (found == m_staged.end() || found->second.info != info)
        return std::nullopt;
    return found->second;
}

void LocalStore::unstage(const nix::StorePath& path)
{
    std::string key;
    {
        const MutexLock lock(m_mutex);
        const auto found = m_staged.find(path);
        if (found == m_staged.end())
            return;
        key = found->second.key;
        m_staged.erase(found);
    }
    discard(key);
}

void LocalStore::discard(const std::string& key)
{
    if (const auto removed = m_beside->remove(key); !removed)
        m_logger.warning("cache.not_removed", {{"error", removed.error().message}}); // the next start does it
}

Result<void> LocalStore::publish(std::vector<nix::NarInfo> staged)
{
    nix::StorePathSet paths;
    std::erase_if(staged, [&paths](const nix::NarInfo& info) { return !paths.insert(info.path).second; });
    const detail::PathClaims::Claim claim(m_claims, paths);
    PENSTOCK_TRY_VOID(checkReferences(staged));
    PENSTOCK_TRY(const nix::StorePathSet there, m_store.validPaths(paths, false));
    PENSTOCK_TRY(const auto rounds, detail::roundsOf(staged));
    for (const auto& round : rounds)
        for (const std::size_t i : round) {
            if (!there.contains(staged[i].path))
                PENSTOCK_TRY_VOID(addToStore(staged[i]));
            unstage(staged[i].path);
        }
    return addRoots(paths);
}

Result<void> LocalStore::checkReferences(const std::vector<nix::NarInfo>& staged)
{
    nix::StorePathSet own;
    nix::StorePathSet outside;
    for (const nix::NarInfo& info : staged)
        own.insert(info.path);
    for (const nix::NarInfo& info : staged)
        for (const nix::StorePath& reference : info.references)
            if (!own.contains(reference))
                outside.insert(reference);
    PENSTOCK_TRY(const nix::StorePathSet there, m_store.validPaths(outside, false));
    for (const nix::NarInfo& info : staged)
        for (const nix::StorePath& reference : info.references)
            if (!own.contains(reference) && !there.contains(reference))
                return fail(
                    ErrorCode::Invalid,
                    fmt::format("{} refers to {}, which is neither in {} nor published with it; send that "
                                "first",
                                info.path.baseName(), reference.baseName(), describe()));
    return {};
}

Result<void> LocalStore::addToStore(const nix::NarInfo& info)
{
    const auto file = staged(info);
    if (!file)
        return fail(ErrorCode::Invalid,
                    fmt::format("{} was not received; upload it again", info.path.baseName()));
    PENSTOCK_TRY(const auto object, m_beside->head(file->key));
    if (!object)
        return fail(ErrorCode::Unavailable,
                    fmt::format("{}: its staged file {} of {} is gone; upload it again", info.path.baseName(),
                                file->key, m_beside->describe()));
    PENSTOCK_TRY(auto decoder, compress::makeDecoder(file->body, info.narSize + kReadBytes));
    StagedSource source(*m_beside, file->key, object->size, std::move(decoder));
    nix::NarInfo registered = info;
    registered.url.clear();
    registered.compression.clear();
    registered.fileHash.reset();
    registered.fileSize.reset();
    const std::string message = nix::fingerprint(storeDir(), info);
    for (const nix::SecretKey& key : m_options.keys) {
        std::string signature = key.sign(message);
        auto& all = registered.signatures;
        if (all.size() < nix::kMaxSignatures && std::find(all.begin(), all.end(), signature) == all.end())
            all.push_back(std::move(signature));
    }
    return m_store.addNar(registered, [&source](std::span<char> to) { return source.read(to); });
}

Result<void> LocalStore::putLog(std::string_view drvBaseName, const ByteSource& text)
{
    PENSTOCK_TRY(const std::string key, logKey(drvBaseName));
    PENSTOCK_TRY(const auto writer, m_beside->create(key, {}));
    std::string piece(kReadBytes, '\0');
    for (;;) {
        PENSTOCK_TRY(const std::size_t got, text(piece));
        if (got == 0)
            return writer->commit();
        PENSTOCK_TRY_VOID(writer->write(std::string_view(piece).substr(0, got)));
    }
}

Result<std::optional<std::string>> LocalStore::getLog(std::string_view drvBaseName, std::size_t maxBytes)
{
    PENSTOCK_TRY(const std::string key, logKey(drvBaseName));
    auto text = m_beside->getText(key, maxBytes);
    if (!text && text.error().code == ErrorCode::NotFound)
        return std::nullopt;
    if (!text)
        return fail(std::move(text).error());
    return *std::move(text);
}

Result<void> LocalStore::putRealisation(const nix::Realisation& realisation)
{
    PENSTOCK_TRY(const auto there, find(realisation.path));
    if (!there)
        return fail(ErrorCode::Invalid, fmt::format("realisation {}: {} is not in {}", realisation.id.print(),
                                                    realisation.path.baseName(), describe()));
    nix::Realisation signedOne = realisation;
    for (const nix::SecretKey& key : m_options.keys)
        nix::sign(signedOne, key);
    return m_beside->putText(nix::realisationKey(realisation.id), nix::printRealisation(signedOne), {});
}

Result<std::optional<std::string>> LocalStore::readSideFile(std::string_view key, std::size_t maxBytes)
{
    if (!key.starts_with("realisations/"))
        return std::nullopt; // a store of its own has neither listings nor debug links
    auto text = m_beside->getText(key, maxBytes);
    if (!text && text.error().code == ErrorCode::NotFound)
        return std::nullopt;
    if (!text)
        return fail(std::move(text).error());
    return *std::move(text);
}

} // namespace penstock::cache
