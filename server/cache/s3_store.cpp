// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/s3_store.h"

#include "server/cache/s3_reader.h"
#include "server/cache/s3_writer.h"
#include "server/cache/s3_xml.h"
#include "shared/base/text.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::cache {
namespace {

constexpr std::size_t kMaxUploadIdBytes = 1024;
constexpr std::size_t kMaxEtagBytes = 128;
constexpr std::chrono::seconds kMaxExpiry = std::chrono::hours(7 * 24); // S3's limit

// "%2F" → "/", "+" → " ": lists are asked for in this form, since XML cannot hold every key.
Result<std::string> decodeKey(std::string_view text)
{
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out.push_back(text[i] == '+' ? ' ' : text[i]);
            continue;
        }
        const auto digit = [&](std::size_t at) {
            const char c = at < text.size() ? text[at] : '?';
            return kDigits.find(c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c);
        };
        const std::size_t high = digit(i + 1);
        const std::size_t low = digit(i + 2);
        if (high == std::string_view::npos || low == std::string_view::npos)
            return fail(ErrorCode::Corrupt,
                        fmt::format("S3 listed the key \"{}\", which is not percent-encoded",
                                    toValidUtf8(text.substr(0, 200))));
        out.push_back(static_cast<char>(high * 16 + low));
        i += 2;
    }
    return out;
}

Result<XmlElement> askXml(S3Connection& connection, const S3Request& request)
{
    PENSTOCK_TRY(const S3Answer answer, connection.call(request));
    if (!answer.isSuccess())
        return fail(connection.errorOf(request, answer));
    return parseXml(answer.response.body);
}

Result<void> checkUpload(const std::string& upload)
{
    const bool isPlain = std::ranges::all_of(upload, [](char c) { return c > ' ' && c < 0x7F; });
    if (upload.empty() || upload.size() > kMaxUploadIdBytes || !isPlain)
        return fail(ErrorCode::Invalid,
                    fmt::format("the upload id of {} bytes is none of S3's (1 to {} plain "
                                "characters)",
                                upload.size(), kMaxUploadIdBytes));
    return {};
}

Result<void> checkPartNumber(unsigned number)
{
    if (number < 1 || number > kMaxParts)
        return fail(ErrorCode::Invalid,
                    fmt::format("part number {} is not within 1 and {}", number, kMaxParts));
    return {};
}

// They come from whoever uploaded.
Result<void> checkParts(const std::vector<UploadedPart>& parts)
{
    if (parts.empty() || parts.size() > kMaxParts)
        return fail(ErrorCode::Invalid,
                    fmt::format("an upload has 1 to {} parts, not {}", kMaxParts, parts.size()));
    unsigned last = 0;
    for (const UploadedPart& part : parts) {
        PENSTOCK_TRY_VOID(checkPartNumber(part.number));
        if (part.number == last)
            return fail(ErrorCode::Invalid, fmt::format("part {} is named twice", part.number));
        last = part.number;
        const bool isPlain = std::ranges::all_of(part.etag, [](char c) { return c > ' ' && c < 0x7F; });
        if (part.etag.empty() || part.etag.size() > kMaxEtagBytes || !isPlain)
            return fail(ErrorCode::Invalid,
                        fmt::format("the ETag of part {} has {} bytes or odd characters; send it "
                                    "as S3 gave it (at most {} bytes)",
                                    part.number, part.etag.size(), kMaxEtagBytes));
    }
    return {};
}

} // namespace

S3Store::S3Store(S3StoreOptions options) : m_connection(std::move(options)) {}

Result<std::optional<ObjectInfo>> S3Store::head(std::string_view key)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    PENSTOCK_TRY(const std::optional<S3Head> there, s3Head(m_connection, m_connection.keyOf(key)));
    return there ? std::optional(there->info) : std::nullopt;
}

Result<void> S3Store::get(std::string_view key, ByteRange range, const ByteSink& sink)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    return S3Reader(m_connection, m_connection.keyOf(key), range, sink).run();
}

Result<std::unique_ptr<ObjectWriter>> S3Store::create(std::string_view key, PutOptions options)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    return std::make_unique<S3Writer>(m_connection, m_connection.keyOf(key), std::move(options));
}

Result<void> S3Store::remove(std::string_view key)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    const S3Request request{.method = "DELETE", .key = m_connection.keyOf(key)};
    PENSTOCK_TRY(const S3Answer answer, m_connection.call(request));
    if (!answer.isSuccess() && (answer.response.status != 404 || answer.code == "NoSuchBucket"))
        return fail(m_connection.errorOf(request, answer));
    return {};
}

Result<void> S3Store::list(std::string_view prefix, const std::function<bool(std::string_view)>& visit)
{
    const std::size_t ours = m_connection.options().prefix.size();
    S3Request request{.method = "GET",
                      .query = {{"list-type", "2"},
                                {"encoding-type", "url"},
                                {"max-keys", "1000"},
                                {"prefix", m_connection.keyOf(prefix)}},
                      .isXmlAnswered = true};
    const std::size_t plainItems = request.query.size();
    for (;;) {
        PENSTOCK_TRY(const XmlElement root, askXml(m_connection, request));
        for (const XmlElement& each : root.children) {
            if (each.name != "Contents")
                continue;
            PENSTOCK_TRY(const std::string key, decodeKey(each.textOf("Key")));
            if (key.size() > ours && !visit(std::string_view(key).substr(ours)))
                return {};
        }
        if (root.textOf("IsTruncated") != "true")
            return {};
        std::string next = root.textOf("NextContinuationToken");
        if (next.empty())
            return fail(ErrorCode::Corrupt,
                        fmt::format("{} said that its list goes on, but not where", describe()));
        request.query.resize(plainItems);
        request.query.emplace_back("continuation-token", std::move(next));
    }
}

std::string S3Store::describe() const
{
    const S3StoreOptions& options = m_connection.options();
    return fmt::format("s3://{}/{} at {}://{}", options.bucket, options.prefix, options.scheme, options.host);
}

Result<std::size_t> S3Store::abortOldUploads(Duration age)
{
    const WallTime limit{m_connection.now().sinceEpoch - age};
    const std::string before = formatRfc3339(limit).substr(0, 19); // to the second; servers differ beyond
    std::size_t aborted = 0;
    for (const std::string_view ours : {"nar/", "log/"}) {
        PENSTOCK_TRY(const std::size_t count, abortOldUploadsBelow(m_connection.keyOf(ours), before));
        aborted += count;
    }
    return aborted;
}

Result<std::size_t> S3Store::abortOldUploadsBelow(const std::string& prefix, std::string_view before)
{
    std::size_t aborted = 0;
    S3Request request{.method = "GET", .query = {{"uploads", ""}, {"prefix", prefix}}, .isXmlAnswered = true};
    for (;;) {
        PENSTOCK_TRY(const XmlElement root, askXml(m_connection, request));
        for (const XmlElement& each : root.children) {
            const std::string key = each.textOf("Key");
            const std::string begun = each.textOf("Initiated");
            if (each.name != "Upload" || !key.starts_with(prefix) || begun.size() < before.size() ||
                std::string_view(begun).substr(0, before.size()) >= before)
                continue;
            PENSTOCK_TRY_VOID(s3AbortUpload(m_connection, key, each.textOf("UploadId")));
            ++aborted;
        }
        if (root.textOf("IsTruncated") != "true" || root.textOf("NextKeyMarker").empty())
            return aborted;
        request.query = {{"uploads", ""},
                         {"prefix", prefix},
                         {"key-marker", root.textOf("NextKeyMarker")},
                         {"upload-id-marker", root.textOf("NextUploadIdMarker")}};
    }
}

Result<SignedRequest> S3Store::sign(const S3Request& request, std::chrono::seconds expiry)
{
    if (expiry < std::chrono::seconds(1) || expiry > kMaxExpiry)
        return fail(ErrorCode::Invalid, fmt::format("a signed address is good for 1 to {} s, not {} s",
                                                    kMaxExpiry.count(), expiry.count()));
    curl::SignedCall call = m_connection.presign(request, expiry);
    return SignedRequest{request.method, std::move(call.url), std::move(call.headers)};
}

Result<SignedRequest> S3Store::signPut(std::string_view key, const PutOptions& options,
                                       std::chrono::seconds expiry)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    return sign({.method = "PUT", .key = m_connection.keyOf(key), .headers = s3HeadersOf(options)}, expiry);
}

Result<std::string> S3Store::beginParts(std::string_view key, const PutOptions& options)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    return s3BeginUpload(m_connection, m_connection.keyOf(key), options);
}

Result<SignedRequest> S3Store::signPart(std::string_view key, const std::string& upload, unsigned number,
                                        std::chrono::seconds expiry)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    PENSTOCK_TRY_VOID(checkUpload(upload));
    PENSTOCK_TRY_VOID(checkPartNumber(number));
    return sign({.method = "PUT",
                 .key = m_connection.keyOf(key),
                 .query = {{"partNumber", fmt::format("{}", number)}, {"uploadId", upload}}},
                expiry);
}

Result<void> S3Store::completeParts(std::string_view key, const std::string& upload,
                                    const std::vector<UploadedPart>& parts)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    PENSTOCK_TRY_VOID(checkUpload(upload));
    std::vector<UploadedPart> ordered = parts;
    std::ranges::sort(ordered, {}, &UploadedPart::number);
    PENSTOCK_TRY_VOID(checkParts(ordered));
    return s3CompleteUpload(m_connection, {m_connection.keyOf(key), upload, std::move(ordered), true});
}

Result<void> S3Store::abortParts(std::string_view key, const std::string& upload)
{
    PENSTOCK_TRY_VOID(checkKey(key));
    PENSTOCK_TRY_VOID(checkUpload(upload));
    return s3AbortUpload(m_connection, m_connection.keyOf(key), upload);
}

} // namespace penstock::cache
