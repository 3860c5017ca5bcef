// SPDX-License-Identifier: GPL-3.0-or-later
// S3Store: an ObjectStore in a bucket of any S3 server, with addresses for uploads past us. Blocking: pool
// threads only, several at once; large objects use a few threads of their own while they are written. Errors
// as in object_store.h. A key that may not be looked at (403) is not known, hence an error, not absent.
#pragma once

#include "server/cache/object_store.h"
#include "server/cache/s3_connection.h"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::cache {

class S3Store final : public ObjectStore, public SignedUploads {
public:
    explicit S3Store(S3StoreOptions options);

    // Aborts uploads in parts that nobody completed for so long, of keys below nar/ and log/ only, as others
    // may use the bucket too. For the start, and once a day. Returns how many.
    [[nodiscard]] Result<std::size_t> abortOldUploads(Duration age = std::chrono::hours(24));

    [[nodiscard]] Result<std::optional<ObjectInfo>> head(std::string_view key) override;
    [[nodiscard]] Result<void> get(std::string_view key, ByteRange range, const ByteSink& sink) override;
    [[nodiscard]] Result<std::unique_ptr<ObjectWriter>> create(std::string_view key,
                                                               PutOptions options) override;
    [[nodiscard]] Result<void> remove(std::string_view key) override;
    [[nodiscard]] Result<void> list(std::string_view prefix,
                                    const std::function<bool(std::string_view)>& visit) override;
    [[nodiscard]] SignedUploads* signedUploads() override { return this; }
    [[nodiscard]] std::string describe() const override;

    [[nodiscard]] Result<SignedRequest> signPut(std::string_view key, const PutOptions& options,
                                                std::chrono::seconds expiry) override;
    [[nodiscard]] Result<std::string> beginParts(std::string_view key, const PutOptions& options) override;
    [[nodiscard]] Result<SignedRequest> signPart(std::string_view key, const std::string& upload,
                                                 unsigned number, std::chrono::seconds expiry) override;
    [[nodiscard]] Result<void> completeParts(std::string_view key, const std::string& upload,
                                             const std::vector<UploadedPart>& parts) override;
    [[nodiscard]] Result<void> abortParts(std::string_view key, const std::string& upload) override;

private:
    [[nodiscard]] Result<SignedRequest> sign(const S3Request& request, std::chrono::seconds expiry);
    [[nodiscard]] Result<std::size_t> abortOldUploadsBelow(const std::string& prefix,
                                                           std::string_view before);

    S3Connection m_connection;
};

} // namespace penstock::cache
