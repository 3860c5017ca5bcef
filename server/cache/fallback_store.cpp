// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/fallback_store.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::cache {
namespace {

// A key of a NAR says what is in it, so that it does not matter whose is asked for: the one behind is on this machine,
// and knows its own by their form.
class FallbackFiles final : public ObjectStore {
public:
    FallbackFiles(ObjectStore* first, ObjectStore* behind) : m_first(first), m_behind(behind) {}

    Result<std::optional<ObjectInfo>> head(std::string_view key) override
    {
        if (mayBeBehind(key)) {
            PENSTOCK_TRY(auto there, m_behind->head(key));
            if (there)
                return there;
        }
        return m_first == nullptr ? Result<std::optional<ObjectInfo>>() : m_first->head(key);
    }
    Result<void> get(std::string_view key, ByteRange range, const ByteSink& sink) override
    {
        if (mayBeBehind(key)) {
            PENSTOCK_TRY(const auto there, m_behind->head(key));
            if (there)
                return m_behind->get(key, range, sink);
        }
        if (m_first == nullptr)
            return fail(ErrorCode::NotFound, fmt::format("nothing is at {}", key));
        return m_first->get(key, range, sink);
    }
    Result<std::unique_ptr<ObjectWriter>> create(std::string_view key, PutOptions) override { return onlyRead(key); }
    Result<void> remove(std::string_view key) override { return onlyRead(key); }
    Result<void> list(std::string_view prefix, const std::function<bool(std::string_view)>& visit) override
    {
        return m_first == nullptr ? Result<void>() : m_first->list(prefix, visit);
    }
    std::string describe() const override { return m_first == nullptr ? "nothing" : m_first->describe(); }

private:
    [[nodiscard]] bool mayBeBehind(std::string_view key) const
    {
        return m_behind != nullptr && key.starts_with("nar/");
    }
    static tl::unexpected<Error> onlyRead(std::string_view key)
    {
        return fail(ErrorCode::Invalid, fmt::format("{} cannot be written here: this is for readers", key));
    }

    ObjectStore* const m_first;
    ObjectStore* const m_behind;
};

} // namespace

FallbackStore::FallbackStore(Side first, Side behind, std::vector<nix::SecretKey> keys)
    : m_first(first.store), m_behind(behind.store), m_keys(std::move(keys)),
      m_files(std::make_unique<FallbackFiles>(first.files, behind.files))
{
}

nix::NarInfo FallbackStore::withSignatures(nix::NarInfo info) const
{
    const std::string message = nix::fingerprint(storeDir(), info);
    for (const nix::SecretKey& key : m_keys) {
        std::string signature = key.sign(message);
        auto& all = info.signatures;
        if (all.size() < nix::kMaxSignatures && std::find(all.begin(), all.end(), signature) == all.end())
            all.push_back(std::move(signature));
    }
    return info;
}

// ----------------------------------------------------------------------------------------------------- reading

Result<std::optional<nix::NarInfo>> FallbackStore::find(const nix::StorePath& path)
{
    PENSTOCK_TRY(auto info, m_first.find(path));
    if (info)
        return info;
    PENSTOCK_TRY(auto behind, m_behind.find(path));
    if (!behind)
        return std::nullopt;
    return withSignatures(*std::move(behind));
}

Result<std::optional<nix::NarInfo>> FallbackStore::findDigest(std::string_view digest)
{
    PENSTOCK_TRY(auto info, m_first.findDigest(digest));
    if (info)
        return info;
    PENSTOCK_TRY(auto behind, m_behind.findDigest(digest));
    if (!behind)
        return std::nullopt;
    return withSignatures(*std::move(behind));
}

Result<nix::StorePathSet> FallbackStore::findMany(const nix::StorePathSet& paths)
{
    PENSTOCK_TRY(nix::StorePathSet found, m_first.findMany(paths));
    nix::StorePathSet missing;
    std::set_difference(paths.begin(), paths.end(), found.begin(), found.end(),
                        std::inserter(missing, missing.end()));
    if (missing.empty())
        return found;
    PENSTOCK_TRY(nix::StorePathSet behind, m_behind.findMany(missing));
    found.merge(behind);
    return found;
}

OutputStore& FallbackStore::ownerOf(const nix::NarInfo& info) const
{
    return info.url == m_behind.narKey(info) ? m_behind : m_first;
}

Result<void> FallbackStore::readFile(const nix::NarInfo& info, ByteRange range, const ByteSink& sink)
{
    return ownerOf(info).readFile(info, range, sink);
}

Result<void> FallbackStore::readNar(const nix::NarInfo& info, const ByteSink& sink)
{
    return ownerOf(info).readNar(info, sink);
}

// ------------------------------------------------------------------------------------------------- for the first

Result<std::unique_ptr<NarIntake>> FallbackStore::receive(const nix::NarInfo& announced, compress::Method body)
{
    return m_first.receive(announced, body);
}

Result<nix::NarInfo> FallbackStore::adopt(const nix::NarInfo& announced, compress::Method body)
{
    return m_first.adopt(announced, body);
}

Result<void> FallbackStore::publish(std::vector<nix::NarInfo> staged)
{
    return m_first.publish(std::move(staged));
}

std::string FallbackStore::narKey(const nix::NarInfo& announced) const
{
    return m_first.narKey(announced);
}

Result<void> FallbackStore::putLog(std::string_view drvBaseName, const ByteSource& text)
{
    return m_first.putLog(drvBaseName, text);
}

Result<std::optional<std::string>> FallbackStore::getLog(std::string_view drvBaseName, std::size_t maxBytes)
{
    return m_first.getLog(drvBaseName, maxBytes);
}

Result<void> FallbackStore::putRealisation(const nix::Realisation& realisation)
{
    return m_first.putRealisation(realisation);
}

Result<std::optional<std::string>> FallbackStore::readSideFile(std::string_view key, std::size_t maxBytes)
{
    return m_first.readSideFile(key, maxBytes);
}

std::string FallbackStore::describe() const
{
    return fmt::format("{}, and behind it {}", m_first.describe(), m_behind.describe());
}

} // namespace penstock::cache
