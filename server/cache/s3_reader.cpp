// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/s3_reader.h"

#include "server/cache/s3_writer.h"

#include <fmt/format.h>
#include <utility>

namespace penstock::cache {
namespace {

constexpr unsigned kPartialContent = 206;
constexpr unsigned kPreconditionFailed = 412;
constexpr unsigned kRangeNotSatisfiable = 416;

} // namespace

S3Reader::S3Reader(S3Connection& connection, std::string key, ByteRange range, const ByteSink& sink)
    : m_connection(connection), m_key(std::move(key)), m_range(range), m_sink(sink)
{}

S3Request S3Reader::nextRequest() const
{
    S3Request request{.method = "GET", .key = m_key};
    const std::uint64_t from = m_range.offset + m_delivered;
    if (m_range.length)
        request.headers.emplace_back("Range",
                                     fmt::format("bytes={}-{}", from, m_range.offset + *m_range.length - 1));
    else if (from > 0)
        request.headers.emplace_back("Range", fmt::format("bytes={}-", from));
    if (m_delivered > 0 && !m_etag.empty())
        request.headers.emplace_back("If-Match", m_etag);
    return request;
}

Result<void> S3Reader::checkHead(const curl::HttpResponse& head)
{
    const bool isRange = m_range.length || m_range.offset + m_delivered > 0;
    if (isRange && head.status != kPartialContent) {
        m_isOurs = true;
        return fail(ErrorCode::Invalid,
                    fmt::format("s3://{}/{}: the server answers a range with status {} instead of "
                                "206; it cannot be read in parts",
                                m_connection.options().bucket, m_key, head.status));
    }
    if (const std::string* const etag = head.header("etag"); etag != nullptr && m_delivered == 0)
        m_etag = *etag;
    return {};
}

Result<void> S3Reader::run()
{
    if (m_range.length && m_range.offset + *m_range.length < m_range.offset)
        return fail(ErrorCode::Invalid, fmt::format("the range of {} bytes at {} of {} ends beyond 64 bits",
                                                    *m_range.length, m_range.offset, m_key));
    if (m_range.length == 0)
        return checkEmptyRange();
    const std::string payloadHash = curl::sha256Hex({});
    S3Tries tries;
    const ByteSink counting = [this](std::string_view bytes) -> Result<void> {
        m_delivered += bytes.size();
        Result<void> taken = m_sink(bytes);
        m_isOurs = !taken;
        return taken;
    };
    for (;;) {
        const S3Request request = nextRequest();
        const std::uint64_t before = m_delivered;
        const Result<S3Answer> outcome = m_connection.once(
            request, payloadHash, counting, [this](const auto& head) { return checkHead(head); });
        if (outcome && outcome->isSuccess())
            return {};
        if (m_isOurs)
            return fail(outcome.error());
        if (m_delivered > before)
            tries = {}; // it goes forward
        if (m_range.length && m_delivered == *m_range.length)
            return {}; // all came, but not the end of the connection
        if (m_connection.shouldRetry(request, outcome, tries))
            continue;
        return outcome ? finish(request, *outcome) : Result<void>(fail(outcome.error()));
    }
}

// HTTP has no word for it.
Result<void> S3Reader::checkEmptyRange()
{
    PENSTOCK_TRY(const std::optional<S3Head> there, s3Head(m_connection, m_key));
    if (!there)
        return fail(ErrorCode::NotFound,
                    fmt::format("s3://{}/{} is not there", m_connection.options().bucket, m_key));
    return m_range.offset < there->info.size || m_range.offset == 0 ? Result<void>() : fail(pastEnd());
}

Error S3Reader::pastEnd() const
{
    return {ErrorCode::Invalid, fmt::format("s3://{}/{}: the range begins at {}, at or past the end",
                                            m_connection.options().bucket, m_key, m_range.offset)};
}

Result<void> S3Reader::finish(const S3Request& request, const S3Answer& answer) const
{
    Error error = m_connection.errorOf(request, answer);
    if (answer.response.status == kRangeNotSatisfiable) { // at 0 it says that the object is empty
        if (m_range.offset == 0 && m_delivered == 0)
            return {};
        error = pastEnd();
    }
    if (answer.response.status == kPreconditionFailed || (answer.response.status == 404 && m_delivered > 0))
        error = {ErrorCode::Unavailable,
                 fmt::format("s3://{}/{} was replaced or removed while it was read, after {} "
                             "bytes; read it anew",
                             m_connection.options().bucket, m_key, m_delivered)};
    return fail(std::move(error));
}

} // namespace penstock::cache
