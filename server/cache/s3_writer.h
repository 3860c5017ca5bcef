// SPDX-License-Identifier: GPL-3.0-or-later
// S3Writer: one object on its way into S3: up to a part's size in memory and one PUT, above it an upload in
// parts. Dropped without commit, the upload is aborted. Also the steps of such an upload, for SignedUploads.
// Blocking; one thread uses a writer.
#pragma once

#include "server/cache/object_store.h"
#include "server/cache/s3_connection.h"
#include "server/cache/s3_parts.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::cache {

// Content type, encoding and If-None-Match.
[[nodiscard]] curl::Headers s3HeadersOf(const PutOptions& options);

struct S3Head {
    ObjectInfo info;
    std::string etag; // without quotes
};
// Keys with the prefix. None when it is not there.
[[nodiscard]] Result<std::optional<S3Head>> s3Head(S3Connection& connection, const std::string& key);

// The upload's id.
[[nodiscard]] Result<std::string> s3BeginUpload(S3Connection& connection, const std::string& key,
                                                const PutOptions& options);
struct S3Completion {
    std::string key;
    std::string upload;
    std::vector<UploadedPart> parts; // in order
    bool ifAbsent = false;
    std::optional<std::uint64_t> size =
        std::nullopt; // of the object, where known: tells whether an unsure try worked
};
[[nodiscard]] Result<void> s3CompleteUpload(S3Connection& connection, const S3Completion& completion);
// Gone already is no error.
[[nodiscard]] Result<void> s3AbortUpload(S3Connection& connection, const std::string& key,
                                         const std::string& upload);

class S3Writer final : public ObjectWriter {
public:
    S3Writer(S3Connection& connection, std::string key, PutOptions options);
    ~S3Writer() override;

    [[nodiscard]] Result<void> write(std::string_view bytes) override;
    [[nodiscard]] Result<void> commit() override;

private:
    [[nodiscard]] Result<void> sendPart();
    [[nodiscard]] Result<void> putWhole();

    S3Connection& m_connection;
    const std::string m_key;
    const PutOptions m_options;
    std::string m_buffer; // of the next part
    unsigned m_partNumber = 1;
    std::uint64_t m_size = 0;
    std::unique_ptr<S3Parts> m_parts; // from the second part on
    bool m_isCommitted = false;
};

} // namespace penstock::cache
