// SPDX-License-Identifier: GPL-3.0-or-later
// ObjectStore: named blobs, in a directory or in S3, with streamed bodies. An object is there whole or not at
// all, and never changes its meaning once committed. Blocking: pool threads only, several at once. Errors:
// NotFound, Conflict (ifAbsent and it is there), Unavailable (may be tried again), Denied, Exhausted (disk,
// quota), Invalid (key), Corrupt.
#pragma once

#include "shared/base/result.h"
#include "shared/base/stream.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::cache {

struct ObjectInfo {
    std::uint64_t size;
    std::string contentType;          // where the store keeps it
    std::string contentEncoding = {}; // where the store keeps it; empty: none
};

struct PutOptions {
    std::string contentType;
    std::string contentEncoding; // empty: none
    bool ifAbsent = false;       // Conflict instead of replacing
    bool syncLater =
        false; // commit may return before it is durable; sync() is called before anything shows it
};

// An object small enough for memory.
struct SmallObject {
    std::string key;
    std::string text;
    PutOptions options;
};

inline constexpr std::size_t kMaxKeyBytes = 1024;         // of a key, as S3 has it
inline constexpr std::size_t kMaxKeyComponentBytes = 255; // between two slashes, as file systems have it
// Parts between slashes, none empty or longer than that, none beginning with a dot; no control character.
// Invalid names the key.
[[nodiscard]] Result<void> checkKey(std::string_view key);

// A range of bytes of an object.
struct ByteRange {
    std::uint64_t offset = 0;
    std::optional<std::uint64_t> length = std::nullopt; // none: to the end
};

// An object on its way in. Dropped without commit, nothing is left behind.
struct ObjectWriter {
    virtual ~ObjectWriter() = default;
    [[nodiscard]] virtual Result<void> write(std::string_view bytes) = 0;
    [[nodiscard]] virtual Result<void> commit() = 0; // durable when it returns, unless syncLater; called once
};

// Uploads by somebody who has no credentials: addresses that allow one request each until they expire.
struct SignedRequest {
    std::string method; // PUT
    std::string url;
    std::vector<std::pair<std::string, std::string>> headers; // to be sent as they are
};
struct UploadedPart {
    unsigned number; // from 1
    std::string etag;
};
struct SignedUploads {
    virtual ~SignedUploads() = default;
    [[nodiscard]] virtual Result<SignedRequest> signPut(std::string_view key, const PutOptions& options,
                                                        std::chrono::seconds expiry) = 0;
    // The upload's id.
    [[nodiscard]] virtual Result<std::string> beginParts(std::string_view key, const PutOptions& options) = 0;
    [[nodiscard]] virtual Result<SignedRequest> signPart(std::string_view key, const std::string& upload,
                                                         unsigned number, std::chrono::seconds expiry) = 0;
    // Conflict when the object is there already; the upload is then still open.
    [[nodiscard]] virtual Result<void> completeParts(std::string_view key, const std::string& upload,
                                                     const std::vector<UploadedPart>& parts) = 0;
    [[nodiscard]] virtual Result<void> abortParts(std::string_view key, const std::string& upload) = 0;
};

class ObjectStore {
public:
    virtual ~ObjectStore() = default;

    // None when it is not there. Three-valued: an error means not known.
    [[nodiscard]] virtual Result<std::optional<ObjectInfo>> head(std::string_view key) = 0;
    // NotFound when it is not there; Invalid when the range begins at or past the end, unless at 0.
    [[nodiscard]] virtual Result<void> get(std::string_view key, ByteRange range, const ByteSink& sink) = 0;
    // A small object in memory; Exhausted above maxBytes.
    [[nodiscard]] Result<std::string> getText(std::string_view key, std::size_t maxBytes);
    [[nodiscard]] virtual Result<std::unique_ptr<ObjectWriter>> create(std::string_view key,
                                                                       PutOptions options) = 0;
    [[nodiscard]] Result<void> putText(std::string_view key, std::string_view text, PutOptions options);
    // All of them, in any order and durable when it returns; after an error some may be there.
    [[nodiscard]] virtual Result<void> putMany(std::vector<SmallObject> objects);
    // The same, round by round: nobody sees an object, not even after a crash, before all of the rounds before it.
    [[nodiscard]] virtual Result<void> putRounds(std::vector<std::vector<SmallObject>> rounds);
    // What was committed with syncLater under these keys is durable when it returns.
    [[nodiscard]] virtual Result<void> sync(const std::vector<std::string>& /*keys*/) { return {}; }
    // Not there is no error.
    [[nodiscard]] virtual Result<void> remove(std::string_view key) = 0;
    // Keys in order, until the visitor says false.
    [[nodiscard]] virtual Result<void> list(std::string_view prefix,
                                            const std::function<bool(std::string_view)>& visit) = 0;
    // Null where the store cannot.
    [[nodiscard]] virtual SignedUploads* signedUploads() { return nullptr; }
    [[nodiscard]] virtual std::string describe() const = 0; // for people, without secrets
};

} // namespace penstock::cache
