// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/s3_writer.h"

#include "server/cache/s3_xml.h"
#include "shared/base/text.h"
#include "shared/nix/hash.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::cache {
namespace {

constexpr unsigned kPreconditionFailed = 412;
constexpr unsigned kNotSupported = 501;
constexpr unsigned kCleanUpAttempts = 2; // what stays behind is swept a day later

Error isThere(const S3Connection& connection, std::string_view key)
{
    return {ErrorCode::Conflict,
            fmt::format("s3://{}/{} is there already", connection.options().bucket, key)};
}

std::string_view withoutQuotes(std::string_view etag)
{
    if (etag.size() >= 2 && etag.starts_with('"') && etag.ends_with('"'))
        return etag.substr(1, etag.size() - 2);
    return etag;
}

bool isConditional(const S3Request& request)
{
    return !request.headers.empty() && request.headers.back().first == "If-None-Match";
}

// As call; a server that does not know If-None-Match (501) is asked without it, after a look whether the key
// is free.
Result<S3Answer> callIfAbsent(S3Connection& connection, S3Request request)
{
    PENSTOCK_TRY(S3Answer answer, connection.call(request));
    if (answer.response.status != kNotSupported || !isConditional(request))
        return answer;
    PENSTOCK_TRY(const std::optional<S3Head> there, s3Head(connection, request.key));
    if (there)
        return fail(isThere(connection, request.key));
    request.headers.pop_back();
    return connection.call(request);
}

} // namespace

curl::Headers s3HeadersOf(const PutOptions& options)
{
    curl::Headers headers;
    if (!options.contentType.empty())
        headers.emplace_back("Content-Type", options.contentType);
    if (!options.contentEncoding.empty())
        headers.emplace_back("Content-Encoding", options.contentEncoding);
    if (options.ifAbsent)
        headers.emplace_back("If-None-Match", "*");
    return headers;
}

Result<std::optional<S3Head>> s3Head(S3Connection& connection, const std::string& key)
{
    const S3Request request{.method = "HEAD", .key = key};
    PENSTOCK_TRY(const S3Answer answer, connection.call(request));
    if (answer.response.status == 404)
        return std::optional<S3Head>();
    if (!answer.isSuccess())
        return fail(connection.errorOf(request, answer).in("whether the object is there is not known"));
    const auto textOf = [&](std::string_view name) {
        const std::string* const value = answer.response.header(name);
        return value == nullptr ? std::string() : *value;
    };
    const Result<std::uint64_t> size = parseUnsigned(textOf("content-length"));
    if (!size)
        return fail(ErrorCode::Corrupt,
                    fmt::format("S3 answered HEAD {} without a length; is the endpoint an S3 "
                                "server?",
                                key));
    return S3Head{{*size, textOf("content-type"), textOf("content-encoding")},
                  std::string(withoutQuotes(textOf("etag")))};
}

Result<std::string> s3BeginUpload(S3Connection& connection, const std::string& key, const PutOptions& options)
{
    PutOptions plain = options;
    plain.ifAbsent = false; // a matter of the end
    const S3Request request{.method = "POST",
                            .key = key,
                            .query = {{"uploads", ""}},
                            .headers = s3HeadersOf(plain),
                            .isXmlAnswered = true};
    PENSTOCK_TRY(const S3Answer answer, connection.call(request));
    if (!answer.isSuccess())
        return fail(connection.errorOf(request, answer));
    PENSTOCK_TRY(const XmlElement root, parseXml(answer.response.body));
    std::string upload = root.textOf("UploadId");
    if (upload.empty())
        return fail(ErrorCode::Corrupt,
                    fmt::format("S3 began an upload of {} without an UploadId; is the endpoint an "
                                "S3 server?",
                                key));
    return upload;
}

Result<void> s3CompleteUpload(S3Connection& connection, const S3Completion& completion)
{
    // Some servers take If-None-Match for a PUT only and replace the object here, so it is looked for first.
    if (completion.ifAbsent) {
        PENSTOCK_TRY(const std::optional<S3Head> there, s3Head(connection, completion.key));
        if (there)
            return fail(isThere(connection, completion.key));
    }
    std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    for (const UploadedPart& part : completion.parts)
        body += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", part.number,
                            escapeXml(part.etag));
    body += "</CompleteMultipartUpload>";
    PutOptions condition;
    condition.ifAbsent = completion.ifAbsent;
    const S3Request request{.method = "POST",
                            .key = completion.key,
                            .query = {{"uploadId", completion.upload}},
                            .headers = s3HeadersOf(condition),
                            .body = body,
                            .isXmlAnswered = true};
    PENSTOCK_TRY(const S3Answer answer, callIfAbsent(connection, request));
    if (answer.isSuccess())
        return {};
    const bool isDoubtful = answer.isUnsure && completion.size &&
                            (answer.code == "NoSuchUpload" || answer.response.status == kPreconditionFailed ||
                             answer.response.status >= 500); // Ceph, of an upload it does not know
    if (isDoubtful) { // the try without an answer may have completed it
        PENSTOCK_TRY(const std::optional<S3Head> there, s3Head(connection, completion.key));
        if (there && there->info.size == *completion.size &&
            there->etag.ends_with(fmt::format("-{}", completion.parts.size())))
            return {};
    }
    return fail(answer.response.status == kPreconditionFailed ? isThere(connection, completion.key)
                                                              : connection.errorOf(request, answer));
}

Result<void> s3AbortUpload(S3Connection& connection, const std::string& key, const std::string& upload)
{
    const S3Request request{
        .method = "DELETE", .key = key, .query = {{"uploadId", upload}}, .attempts = kCleanUpAttempts};
    PENSTOCK_TRY(const S3Answer answer, connection.call(request));
    if (!answer.isSuccess() && answer.response.status != 404)
        return fail(connection.errorOf(request, answer));
    return {};
}

S3Writer::S3Writer(S3Connection& connection, std::string key, PutOptions options)
    : m_connection(connection), m_key(std::move(key)), m_options(std::move(options))
{}

S3Writer::~S3Writer()
{
    if (!m_parts || m_isCommitted)
        return;
    const std::string upload = m_parts->upload();
    m_parts.reset(); // a part that arrives after the abort would stay
    const Result<void> aborted = s3AbortUpload(m_connection, m_key, upload);
    if (!aborted)
        m_connection.warn("s3.upload_not_aborted", m_key, aborted.error());
}

Result<void> S3Writer::write(std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::uint64_t partBytes = partBytesOf(m_connection.options().partBytes, m_partNumber);
        if (m_buffer.size() >= partBytes) {
            PENSTOCK_TRY_VOID(sendPart());
            continue;
        }
        const std::size_t taken = std::min<std::uint64_t>(bytes.size(), partBytes - m_buffer.size());
        m_buffer.append(bytes.substr(0, taken));
        m_size += taken;
        bytes.remove_prefix(taken);
    }
    return {};
}

Result<void> S3Writer::sendPart()
{
    if (!m_parts) {
        if (m_options.ifAbsent) { // rather known before gigabytes are sent
            PENSTOCK_TRY(const std::optional<S3Head> there, s3Head(m_connection, m_key));
            if (there)
                return fail(isThere(m_connection, m_key));
        }
        PENSTOCK_TRY(std::string upload, s3BeginUpload(m_connection, m_key, m_options));
        m_parts = std::make_unique<S3Parts>(m_connection, m_key, std::move(upload));
    }
    if (m_partNumber > kMaxParts)
        return fail(
            ErrorCode::Exhausted,
            fmt::format("s3://{}/{} needs more than {} parts after {} bytes; raise buffer-size of this store",
                        m_connection.options().bucket, m_key, kMaxParts, m_size));
    return m_parts->submit(m_partNumber++, std::exchange(m_buffer, {}));
}

Result<void> S3Writer::commit()
{
    if (!m_parts)
        return putWhole();
    PENSTOCK_TRY_VOID(sendPart());
    PENSTOCK_TRY(std::vector<UploadedPart> parts, m_parts->finish());
    PENSTOCK_TRY_VOID(s3CompleteUpload(
        m_connection, {m_key, m_parts->upload(), std::move(parts), m_options.ifAbsent, m_size}));
    m_isCommitted = true;
    return {};
}

Result<void> S3Writer::putWhole()
{
    const S3Request request{
        .method = "PUT", .key = m_key, .headers = s3HeadersOf(m_options), .body = m_buffer};
    PENSTOCK_TRY(const S3Answer answer, callIfAbsent(m_connection, request));
    if (answer.isSuccess())
        return {};
    if (answer.response.status != kPreconditionFailed || !m_options.ifAbsent)
        return fail(m_connection.errorOf(request, answer));
    if (answer.isUnsure) { // the try without an answer may have put it
        PENSTOCK_TRY(const std::optional<S3Head> there, s3Head(m_connection, m_key));
        if (there && there->etag == nix::hashOf(m_buffer, nix::HashAlgorithm::Md5).base16())
            return {};
    }
    return fail(isThere(m_connection, m_key));
}

} // namespace penstock::cache
