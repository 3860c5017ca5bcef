// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/s3_connection.h"

#include "server/cache/s3_xml.h"
#include "shared/base/text.h"
#include "shared/curl/pause.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <sodium.h>

namespace penstock::cache {
namespace {

constexpr std::size_t kMaxAnswerBytes = 8U
                                        << 20U; // a list of 1000 keys of 1 KiB, each byte escaped, is 6 MiB
constexpr std::size_t kShownMessage = 300;
constexpr unsigned kBadRequest = 400;
constexpr unsigned kInternalError = 500;

template <std::size_t Size>
bool isAmong(std::string_view word, const std::array<std::string_view, Size>& words)
{
    return std::ranges::find(words, word) != words.end();
}

// Codes whose status alone does not say that another try helps.
bool isPassing(std::string_view code)
{
    constexpr std::array<std::string_view, 9> kPassing{
        "SlowDown",       "InternalError",    "ServiceUnavailable",
        "RequestTimeout", "OperationAborted", "IncompleteBody",
        "BadDigest",      "RequestThrottled", "XAmzContentSHA256Mismatch"};
    return isAmong(code, kPassing) || code == "ConditionalRequestConflict";
}

bool isExpiry(std::string_view code)
{
    constexpr std::array<std::string_view, 5> kExpired{"ExpiredToken", "InvalidToken", "InvalidAccessKeyId",
                                                       "TokenRefreshRequired", "RequestExpired"};
    return isAmong(code, kExpired);
}

ErrorCode meaningOf(unsigned status, std::string_view code)
{
    if (code == "QuotaExceeded" || code == "EntityTooLarge" || code == "TooManyBuckets" || status == 507)
        return ErrorCode::Exhausted;
    if (code == "BadDigest" || code == "XAmzContentSHA256Mismatch")
        return ErrorCode::Corrupt;
    if (code == "NoSuchBucket") // not a key that is missing: the whole store is
        return ErrorCode::Invalid;
    if (curl::isWorthRetrying(status) || isPassing(code))
        return ErrorCode::Unavailable;
    switch (status) {
    case 401:
    case 403: return ErrorCode::Denied;
    case 404: return ErrorCode::NotFound;
    case 409:
    case 412: return ErrorCode::Conflict;
    default: return ErrorCode::Invalid;
    }
}

std::string adviceFor(const S3Answer& answer, const S3StoreOptions& options)
{
    const unsigned status = answer.response.status;
    if (status == 301 || status == 307 || answer.code == "AuthorizationHeaderMalformed") {
        const std::string* const region = answer.response.header("x-amz-bucket-region");
        return fmt::format("; the region {} may be wrong{}", options.region,
                           region == nullptr ? ""
                                             : fmt::format(", the server says {}", toValidUtf8(*region)));
    }
    if (answer.code == "NoSuchBucket")
        return "; create the bucket, or mend its name";
    if (answer.code == "RequestTimeTooSkewed")
        return "; set this machine's clock";
    if (answer.code == "QuotaExceeded")
        return "; free space or raise the quota";
    if (answer.code == "SignatureDoesNotMatch" || isExpiry(answer.code))
        return "; check the credentials of this store";
    if (status == 403)
        return "; check the credentials and the bucket's policy (a missing key is told apart only with "
               "s3:ListBucket)";
    return "";
}

// Code and message of an error document; none when the body is something else.
std::pair<std::string, std::string> errorDocument(std::string_view body)
{
    const Result<XmlElement> root = parseXml(body);
    if (!root || root->name != "Error")
        return {};
    return {toValidUtf8(root->textOf("Code").substr(0, 100)), toValidUtf8(root->textOf("Message"))};
}

} // namespace

S3Connection::S3Connection(S3StoreOptions options)
    : m_options(std::move(options)), m_clients(m_options.http), m_credentials(m_options.credentials)
{}

curl::SignableRequest S3Connection::signable(const S3Request& request) const
{
    const std::string bucketPath = m_options.isPathStyle ? "/" + m_options.bucket : std::string();
    return {.method = request.method,
            .scheme = m_options.scheme,
            .host = m_options.isPathStyle ? m_options.host : m_options.bucket + "." + m_options.host,
            .path = curl::encodePath(bucketPath + "/" + request.key),
            .query = request.query,
            .headers = request.headers};
}

curl::SigningScope S3Connection::scope()
{
    const MutexLock lock(m_mutex);
    return {m_credentials, m_options.region};
}

curl::SignedCall S3Connection::presign(const S3Request& request, std::chrono::seconds expiry)
{
    return curl::presignRequest(signable(request), scope(), now(), expiry);
}

Result<S3Answer> S3Connection::once(const S3Request& request, std::string_view payloadHash,
                                    const ByteSink& sink,
                                    std::function<Result<void>(const curl::HttpResponse&)> onHead)
{
    curl::SignableRequest toSign = signable(request);
    toSign.payload = payloadHash;
    curl::SignedCall call = curl::signRequest(toSign, scope(), now());
    curl::HttpRequest http{
        .method = request.method, .url = std::move(call.url), .headers = std::move(call.headers)};
    http.maxAnswerBytes = kMaxAnswerBytes;
    http.maxRedirects = 0; // a signature is for one host
    http.onHead = std::move(onHead);
    http.isCancelled = request.isCancelled;
    if (!request.body.empty()) {
        http.size = request.body.size();
        http.source = [rest = request.body](std::span<char> buffer) mutable -> Result<std::size_t> {
            const std::size_t size = std::min(buffer.size(), rest.size());
            std::memcpy(buffer.data(), rest.data(), size);
            rest.remove_prefix(size);
            return size;
        };
    }
    auto client = m_clients.take();
    PENSTOCK_TRY(curl::HttpResponse response, client->perform(http, sink));
    S3Answer answer{std::move(response)};
    if (!answer.isSuccess()) {
        answer.code = errorDocument(answer.response.body).first;
    } else if (request.isXmlAnswered) {
        const Result<XmlElement> root = parseXml(answer.response.body);
        if (!root || root->name == "Error") { // S3 had said 200 before it knew
            answer.code = root ? root->textOf("Code").substr(0, 100) : std::string();
            answer.response.status =
                answer.code.empty() || isPassing(answer.code) ? kInternalError : kBadRequest;
        }
    }
    return answer;
}

bool S3Connection::reload(std::string_view code)
{
    if (!m_options.reloadCredentials)
        return false;
    Result<curl::AwsCredentials> fresh = m_options.reloadCredentials();
    if (!fresh) {
        warn("s3.credentials_not_reloaded", code, fresh.error());
        return false;
    }
    const MutexLock lock(m_mutex);
    m_credentials = *std::move(fresh);
    return true;
}

bool S3Connection::shouldRetry(const S3Request& request, const Result<S3Answer>& outcome, S3Tries& tries)
{
    ++tries.done;
    std::optional<Duration> retryAfter;
    if (outcome) {
        if (outcome->isSuccess())
            return false;
        if (isExpiry(outcome->code) && !tries.isReloaded) {
            tries.isReloaded = true;
            return reload(outcome->code);
        }
        if (!curl::isWorthRetrying(outcome->response.status) && !isPassing(outcome->code))
            return false;
        if (const std::string* const after = outcome->response.header("retry-after"))
            retryAfter = curl::parseRetryAfter(*after, now());
    } else if (!curl::isWorthRetrying(outcome.error().code)) {
        return false;
    }
    tries.isUnsure = tries.isUnsure || !outcome || outcome->response.status >= kInternalError;
    if (tries.done >= (request.attempts > 0 ? request.attempts : m_options.backOff.attempts))
        return false;
    const Duration delay =
        curl::delayBefore(m_options.backOff, tries.done,
                          m_options.random ? m_options.random() : randombytes_random(), retryAfter);
    if (m_options.log != nullptr)
        m_options.log->info("s3.retry",
                            {{"bucket", m_options.bucket},
                             {"key", request.key},
                             {"why", outcome ? errorOf(request, *outcome).message : outcome.error().message},
                             {"try", tries.done},
                             {"wait_ms", delay.count() / 1000}});
    return curl::pause(delay, [&] {
        return (request.isCancelled && request.isCancelled()) ||
               (m_options.http.isCancelled && m_options.http.isCancelled());
    });
}

Result<S3Answer> S3Connection::call(const S3Request& request)
{
    const std::string payloadHash = curl::sha256Hex(request.body);
    S3Tries tries;
    for (;;) {
        const bool wasUnsure = tries.isUnsure;
        Result<S3Answer> outcome = once(request, payloadHash);
        if (shouldRetry(request, outcome, tries))
            continue;
        if (!outcome)
            return fail(std::move(outcome).error().in(
                fmt::format("s3://{}/{}{}", m_options.bucket, request.key,
                            tries.done > 1 ? fmt::format(" (tried {} times)", tries.done) : "")));
        outcome->isUnsure = wasUnsure;
        return outcome;
    }
}

Error S3Connection::errorOf(const S3Request& request, const S3Answer& answer) const
{
    const auto [code, message] = errorDocument(answer.response.body);
    std::string text = fmt::format("{} s3://{}/{}: status {}", request.method, m_options.bucket, request.key,
                                   answer.response.status);
    if (!answer.code.empty())
        text += " " + answer.code;
    if (!message.empty())
        text += fmt::format(" ({})", std::string_view(message).substr(0, kShownMessage));
    return {meaningOf(answer.response.status, answer.code), text + adviceFor(answer, m_options)};
}

void S3Connection::warn(std::string_view event, std::string_view key, const Error& error) const
{
    if (m_options.log != nullptr)
        m_options.log->warning(event, {{"bucket", m_options.bucket}, {"key", key}, {"error", error.message}});
}

} // namespace penstock::cache
