// SPDX-License-Identifier: GPL-3.0-or-later
// Bytes on their way into a BinaryCache: everything is verified before it is kept under its name.
#include "server/cache/binary_cache.h"

#include <fmt/format.h>
#include <utility>

namespace penstock::cache {
namespace {

constexpr const char* kNarType = "application/x-nix-nar";
// What no encoder adds to what cannot be compressed.
constexpr std::uint64_t kMaxOverhead = 1U << 20U;

PutOptions narOptions()
{
    PutOptions options;
    options.contentType = kNarType;
    options.ifAbsent = true; // another path with the same content may have been signed with that very file
    options.syncLater = true;
    return options;
}

std::string narKeyOf(const nix::Hash& narHash, compress::Method method)
{
    return fmt::format("nar/{}.nar{}", narHash.base32(), compress::extension(method));
}

} // namespace

class CacheIntake final : public NarIntake {
public:
    CacheIntake(BinaryCache& cache, nix::NarInfo staged, std::unique_ptr<detail::NarCheck> check)
        : m_cache(cache),
          m_staged(std::move(staged)),
          m_check(std::move(check)),
          m_toStore([this](std::string_view bytes) { return store(bytes); }),
          m_toCheck([this](std::string_view nar) { return take(nar); })
    {}
    Result<void> begin(compress::Method body)
    {
        PENSTOCK_TRY(m_decoder, compress::makeDecoder(body, UINT64_MAX)); // the check knows the size
        if (body != m_cache.m_options.encoding.method) {
            PENSTOCK_TRY(m_encoder, compress::makeEncoder(m_cache.m_options.encoding));
        }
        PENSTOCK_TRY(m_writer, m_cache.m_objects->create(m_staged.url, narOptions()));
        return {};
    }
    Result<void> push(std::string_view bytes) override
    {
        if (m_failed)
            return fail(*m_failed);
        m_received += bytes.size();
        auto done = m_received > m_staged.narSize + m_staged.narSize / 8 + kMaxOverhead
                        ? fail(ErrorCode::Corrupt,
                               fmt::format("its {} compressed bytes are more than the {} of its NAR",
                                           m_received, m_staged.narSize))
                        : keep(bytes);
        if (!done)
            m_failed = std::move(done).error().in(m_staged.path.baseName());
        return m_failed ? Result<void>(fail(*m_failed)) : Result<void>();
    }
    Result<nix::NarInfo> finish() override
    {
        if (m_failed)
            return fail(*m_failed);
        if (auto ended = m_decoder->finish(m_toCheck); !ended)
            return fail(std::move(ended).error().in(m_staged.path.baseName()));
        PENSTOCK_TRY(auto facts, m_check->finish());
        if (m_encoder)
            PENSTOCK_TRY_VOID(m_encoder->finish(m_toStore));
        m_staged.fileSize = m_hasher.byteCount();
        m_staged.fileHash = std::move(m_hasher).finish();
        PENSTOCK_TRY_VOID(commit());
        m_cache.noteUnstated(m_staged, facts);
        m_cache.m_staged.put(m_staged, std::move(facts));
        return m_staged;
    }

private:
    Result<void> keep(std::string_view bytes)
    {
        if (!m_encoder)
            PENSTOCK_TRY_VOID(store(bytes));
        return m_decoder->push(bytes, m_toCheck);
    }
    Result<void> take(std::string_view nar)
    {
        PENSTOCK_TRY_VOID(m_check->push(nar));
        return m_encoder ? m_encoder->push(nar, m_toStore) : Result<void>();
    }
    Result<void> store(std::string_view bytes)
    {
        m_hasher.update(bytes);
        return m_writer->write(bytes);
    }
    // A file that is there already stays, when it is good: somebody may have signed its hash.
    Result<void> commit()
    {
        PENSTOCK_TRY(const auto there, m_cache.m_objects->head(m_staged.url));
        if (there) {
            PENSTOCK_TRY(const bool isGood, useExisting());
            if (isGood)
                return {};
            PENSTOCK_TRY_VOID(m_cache.m_objects->remove(m_staged.url));
        }
        auto done = m_writer->commit();
        if (done || done.error().code != ErrorCode::Conflict)
            return done;
        PENSTOCK_TRY(const bool isGood, useExisting());
        if (!isGood)
            return fail(ErrorCode::Unavailable,
                        fmt::format("{} of {} is damaged; try again", m_staged.url, m_cache.describe()));
        return {};
    }
    Result<bool> useExisting()
    {
        PENSTOCK_TRY(const auto shown, m_cache.find(m_staged.path));
        if (shown && shown->url == m_staged.url && shown->narHash == m_staged.narHash && shown->fileHash &&
            shown->fileSize) {
            m_staged.fileHash = shown->fileHash;
            m_staged.fileSize = shown->fileSize;
            return true;
        }
        auto verified = m_cache.verifyStored(m_staged);
        if (verified) {
            m_staged = std::move(verified->info);
            return true;
        }
        if (verified.error().code == ErrorCode::Corrupt || verified.error().code == ErrorCode::NotFound)
            return false;
        return fail(std::move(verified).error());
    }

    BinaryCache& m_cache;
    nix::NarInfo m_staged;
    const std::unique_ptr<detail::NarCheck> m_check;
    const ByteSink m_toStore;
    const ByteSink m_toCheck;
    std::unique_ptr<compress::Decoder> m_decoder;
    std::unique_ptr<compress::Encoder> m_encoder; // null: kept as it came
    std::unique_ptr<ObjectWriter> m_writer;
    nix::Hasher m_hasher; // of the file
    std::uint64_t m_received = 0;
    std::optional<Error> m_failed;
};

std::string BinaryCache::narKey(const nix::NarInfo& announced) const
{
    return narKeyOf(announced.narHash, m_options.encoding.method);
}

Result<std::unique_ptr<NarIntake>> BinaryCache::receive(const nix::NarInfo& announced, compress::Method body)
{
    PENSTOCK_TRY(auto check, detail::NarCheck::begin(m_options.storeDir, announced, m_options.writeListings));
    nix::NarInfo staged = announced;
    staged.url = narKey(announced);
    staged.compression = std::string(compress::toString(m_options.encoding.method));
    staged.fileHash.reset();
    staged.fileSize.reset();
    auto intake = std::make_unique<CacheIntake>(*this, std::move(staged), std::move(check));
    PENSTOCK_TRY_VOID(intake->begin(body));
    return intake;
}

Result<BinaryCache::Verified> BinaryCache::verifyStored(nix::NarInfo info, bool* isAnnouncedNar)
{
    PENSTOCK_TRY(const compress::Method method, compress::parseMethod(info.compression));
    PENSTOCK_TRY(const auto check,
                 detail::NarCheck::begin(m_options.storeDir, info, m_options.writeListings));
    PENSTOCK_TRY(const auto decoder, compress::makeDecoder(method, UINT64_MAX));
    nix::Hasher hasher;
    const ByteSink toCheck = [&check](std::string_view nar) { return check->push(nar); };
    const auto takeFile = [&](std::string_view bytes) {
        hasher.update(bytes);
        return decoder->push(bytes, toCheck);
    };
    auto read = m_objects->get(info.url, {}, takeFile);
    if (read)
        read = decoder->finish(toCheck);
    if (!read)
        return fail(std::move(read).error().in(fmt::format("{} of {}", info.url, describe())));
    auto facts = check->finish();
    if (isAnnouncedNar != nullptr)
        *isAnnouncedNar = check->isAnnouncedNar();
    if (!facts)
        return fail(std::move(facts).error());
    info.fileSize = hasher.byteCount();
    info.fileHash = std::move(hasher).finish();
    return Verified{std::move(info), *std::move(facts)};
}

Result<nix::NarInfo> BinaryCache::adopt(const nix::NarInfo& announced, compress::Method body)
{
    nix::NarInfo info = announced;
    info.url = narKeyOf(announced.narHash, body);
    info.compression = std::string(compress::toString(body));
    info.fileHash.reset();
    info.fileSize.reset();
    bool isAnnouncedNar = false;
    auto verified = verifyStored(std::move(info), &isAnnouncedNar);
    if (!verified) {
        // The right bytes of a path that is refused for another reason may be the NAR of another path.
        if (verified.error().code == ErrorCode::Corrupt && !isAnnouncedNar) {
            const auto removed = m_objects->remove(narKeyOf(announced.narHash, body));
            if (!removed)
                m_logger.warning("cache.not_removed", {{"error", removed.error().message}});
        }
        return fail(std::move(verified).error());
    }
    noteUnstated(verified->info, verified->facts);
    m_staged.put(verified->info, std::move(verified->facts));
    return std::move(verified->info);
}

void BinaryCache::noteUnstated(const nix::NarInfo& info, const detail::NarFacts& facts)
{
    if (!m_options.reportUnstated)
        return;
    for (const std::string& digest : facts.unstated) {
        const auto known = lookUp(digest);
        // Only what this cache could have served: a path that nobody knows is a mere text.
        if (known && *known)
            m_logger.warning("cache.unstated_reference",
                             {{"path", info.path.baseName()}, {"mentions", (*known)->path.baseName()}});
    }
}

} // namespace penstock::cache
