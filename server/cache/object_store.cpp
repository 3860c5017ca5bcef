// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/object_store.h"

#include "server/cache/parallel.h"
#include "shared/base/text.h"

#include <fmt/format.h>

namespace penstock::cache {
namespace {

// Requests of one call in flight at once: what hides the round trip to a store far away.
constexpr std::size_t kParallelPuts = 16;

bool isControl(char letter)
{
    return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F;
}

std::string shown(std::string_view key)
{
    return toValidUtf8(key.substr(0, 200));
}

} // namespace

Result<void> checkKey(std::string_view key)
{
    if (key.empty())
        return fail(ErrorCode::Invalid, "an object's key is empty");
    if (key.size() > kMaxKeyBytes)
        return fail(ErrorCode::Invalid, fmt::format("the object key {}… has {} bytes, the limit is {}",
                                                    shown(key), key.size(), kMaxKeyBytes));
    for (const char letter : key)
        if (isControl(letter))
            return fail(ErrorCode::Invalid,
                        fmt::format("the object key {} holds a control character", shown(key)));
    for (std::string_view rest = key;;) {
        const std::size_t slash = rest.find('/');
        const std::string_view part = rest.substr(0, slash);
        if (part.empty())
            return fail(ErrorCode::Invalid,
                        fmt::format("the object key {} has an empty part: no slash at its ends, no two "
                                    "together",
                                    shown(key)));
        if (part.front() == '.')
            return fail(ErrorCode::Invalid,
                        fmt::format("a part of the object key {} begins with a dot", shown(key)));
        if (part.size() > kMaxKeyComponentBytes)
            return fail(ErrorCode::Invalid,
                        fmt::format("a part of the object key {} has {} bytes, the limit is {}", shown(key),
                                    part.size(), kMaxKeyComponentBytes));
        if (slash == std::string_view::npos)
            return {};
        rest.remove_prefix(slash + 1);
    }
}

Result<std::string> ObjectStore::getText(std::string_view key, std::size_t maxBytes)
{
    std::string text;
    PENSTOCK_TRY_VOID(get(key, {}, [&](std::string_view bytes) -> Result<void> {
        if (bytes.size() > maxBytes - text.size())
            return fail(ErrorCode::Exhausted,
                        fmt::format("object {} of {} is larger than {} bytes", key, describe(), maxBytes));
        text.append(bytes);
        return {};
    }));
    return text;
}

Result<void> ObjectStore::putText(std::string_view key, std::string_view text, PutOptions options)
{
    PENSTOCK_TRY(const auto writer, create(key, std::move(options)));
    PENSTOCK_TRY_VOID(writer->write(text));
    return writer->commit();
}

Result<void> ObjectStore::putMany(std::vector<SmallObject> objects)
{
    return parallelFor(objects.size(), kParallelPuts, [&](std::size_t i) {
        return putText(objects[i].key, objects[i].text, objects[i].options);
    });
}

Result<void> ObjectStore::putRounds(std::vector<std::vector<SmallObject>> rounds)
{
    for (std::vector<SmallObject>& round : rounds)
        PENSTOCK_TRY_VOID(putMany(std::move(round)));
    return {};
}

} // namespace penstock::cache
