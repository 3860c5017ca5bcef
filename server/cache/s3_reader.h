// SPDX-License-Identifier: GPL-3.0-or-later
// S3Reader: streams one object, or a range of it, to a sink; a connection that is cut is taken up where it
// ended, as long as the object is still the same (ETag). Blocking, for one read. Internal to S3Store.
#pragma once

#include "server/cache/object_store.h"
#include "server/cache/s3_connection.h"

#include <cstdint>
#include <string>

namespace penstock::cache {

class S3Reader {
public:
    // connection and sink must outlive it. key: with the prefix.
    S3Reader(S3Connection& connection, std::string key, ByteRange range, const ByteSink& sink);

    [[nodiscard]] Result<void> run();

private:
    [[nodiscard]] S3Request nextRequest() const;
    [[nodiscard]] Result<void> checkHead(const curl::HttpResponse& head);
    [[nodiscard]] Result<void> checkEmptyRange();
    [[nodiscard]] Error pastEnd() const;
    [[nodiscard]] Result<void> finish(const S3Request& request, const S3Answer& answer) const;

    S3Connection& m_connection;
    const std::string m_key;
    const ByteRange m_range;
    const ByteSink& m_sink;
    std::uint64_t m_delivered = 0;
    std::string m_etag;    // of what was begun
    bool m_isOurs = false; // the error is the sink's, or a finding of ours: no retry
};

} // namespace penstock::cache
