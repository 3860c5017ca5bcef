// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/memory_object_store.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::test {
namespace {

Error injected()
{
    return {ErrorCode::Unavailable, "injected fault"};
}

class MemoryWriter final : public cache::ObjectWriter {
public:
    MemoryWriter(MemoryObjectStore& store, std::string key, cache::PutOptions options)
        : m_store(store), m_key(std::move(key)), m_options(std::move(options))
    {}
    Result<void> write(std::string_view bytes) override
    {
        m_bytes.append(bytes);
        return {};
    }
    Result<void> commit() override { return m_store.put(m_key, std::move(m_bytes), m_options); }

private:
    MemoryObjectStore& m_store;
    const std::string m_key;
    const cache::PutOptions m_options;
    std::string m_bytes;
};

} // namespace

void MemoryObjects::injectAt(std::uint64_t operation, Fault fault)
{
    const MutexLock lock(m_mutex);
    m_faultAt = operation;
    m_fault = fault;
}

void MemoryObjects::heal()
{
    const MutexLock lock(m_mutex);
    m_operations = 0;
    m_faultAt = 0;
    m_isDead = false;
}

std::uint64_t MemoryObjects::operations() const
{
    const MutexLock lock(m_mutex);
    return m_operations;
}

Result<bool> MemoryObjects::change()
{
    if (m_isDead)
        return fail(injected());
    if (++m_operations != m_faultAt)
        return true;
    m_isDead = m_fault != Fault::Fails;
    if (m_fault == Fault::DiesAfter)
        return false;
    if (m_fault == Fault::PowerCut)
        for (auto& [key, object] : m_objects)
            if (!object.isDurable)
                object.bytes.clear();
    return fail(injected());
}

Result<void> MemoryObjectStore::ask(std::string_view operation, std::string_view key) const
{
    PENSTOCK_TRY_VOID(cache::checkKey(key));
    return m_objects->onOperation ? m_objects->onOperation(operation, key) : Result<void>();
}

Result<std::optional<cache::ObjectInfo>> MemoryObjectStore::head(std::string_view key)
{
    PENSTOCK_TRY_VOID(ask("head", key));
    const MutexLock lock(m_objects->m_mutex);
    if (m_objects->m_isDead)
        return fail(injected());
    const auto found = m_objects->m_objects.find(key);
    if (found == m_objects->m_objects.end())
        return std::nullopt;
    return cache::ObjectInfo{found->second.bytes.size(), found->second.options.contentType,
                             found->second.options.contentEncoding};
}

Result<void> MemoryObjectStore::get(std::string_view key, cache::ByteRange range, const ByteSink& sink)
{
    PENSTOCK_TRY_VOID(ask("get", key));
    std::string bytes;
    {
        const MutexLock lock(m_objects->m_mutex);
        if (m_objects->m_isDead)
            return fail(injected());
        const auto found = m_objects->m_objects.find(key);
        if (found == m_objects->m_objects.end())
            return fail(ErrorCode::NotFound, fmt::format("no object {}", key));
        bytes = found->second.bytes;
    }
    if (range.offset != 0 && range.offset >= bytes.size())
        return fail(ErrorCode::Invalid,
                    fmt::format("a range begins at {} of {}", range.offset, bytes.size()));
    const std::uint64_t length = range.length.value_or(bytes.size());
    std::string_view rest = std::string_view(bytes).substr(range.offset);
    rest = rest.substr(0, std::min<std::uint64_t>(length, rest.size()));
    constexpr std::size_t kPiece = 64U << 10U;
    for (; !rest.empty(); rest.remove_prefix(std::min(kPiece, rest.size())))
        PENSTOCK_TRY_VOID(sink(rest.substr(0, kPiece)));
    return {};
}

Result<std::unique_ptr<cache::ObjectWriter>> MemoryObjectStore::create(std::string_view key,
                                                                       cache::PutOptions options)
{
    PENSTOCK_TRY_VOID(ask("create", key));
    return std::make_unique<MemoryWriter>(*this, std::string(key), std::move(options));
}

Result<void> MemoryObjectStore::put(const std::string& key, std::string bytes,
                                    const cache::PutOptions& options)
{
    PENSTOCK_TRY_VOID(ask("put", key));
    const MutexLock lock(m_objects->m_mutex);
    PENSTOCK_TRY(const bool isTold, m_objects->change());
    if (options.ifAbsent && m_objects->m_objects.contains(key))
        return fail(ErrorCode::Conflict, fmt::format("{} is there", key));
    m_objects->m_objects.insert_or_assign(
        key, MemoryObjects::Object{std::move(bytes), options, !options.syncLater});
    return isTold ? Result<void>() : fail(injected());
}

Result<void> MemoryObjectStore::putMany(std::vector<cache::SmallObject> objects)
{
    for (cache::SmallObject& object : objects) {
        PENSTOCK_TRY_VOID(cache::checkKey(object.key));
        PENSTOCK_TRY_VOID(put(object.key, std::move(object.text), object.options));
    }
    return {};
}

Result<void> MemoryObjectStore::sync(const std::vector<std::string>& keys)
{
    for (const std::string& key : keys)
        PENSTOCK_TRY_VOID(ask("sync", key));
    const MutexLock lock(m_objects->m_mutex);
    PENSTOCK_TRY(const bool isTold, m_objects->change());
    for (const std::string& key : keys) {
        const auto found = m_objects->m_objects.find(key);
        if (found == m_objects->m_objects.end())
            return fail(ErrorCode::NotFound, fmt::format("no object {}", key));
        found->second.isDurable = true;
    }
    return isTold ? Result<void>() : fail(injected());
}

Result<void> MemoryObjectStore::remove(std::string_view key)
{
    PENSTOCK_TRY_VOID(ask("remove", key));
    const MutexLock lock(m_objects->m_mutex);
    PENSTOCK_TRY(const bool isTold, m_objects->change());
    const auto found = m_objects->m_objects.find(key);
    if (found != m_objects->m_objects.end())
        m_objects->m_objects.erase(found);
    return isTold ? Result<void>() : fail(injected());
}

Result<void> MemoryObjectStore::list(std::string_view prefix,
                                     const std::function<bool(std::string_view)>& visit)
{
    std::vector<std::string> keys;
    {
        const MutexLock lock(m_objects->m_mutex);
        if (m_objects->m_isDead)
            return fail(injected());
        for (const auto& [key, object] : m_objects->m_objects)
            if (key.starts_with(prefix))
                keys.push_back(key);
    }
    for (const std::string& key : keys)
        if (!visit(key))
            return {};
    return {};
}

} // namespace penstock::test
