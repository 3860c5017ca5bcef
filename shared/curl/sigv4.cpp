// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/curl/sigv4.h"

#include "shared/base/check.h"
#include "shared/base/text.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace penstock::curl {
namespace {

using Digest = std::array<unsigned char, 32>;

Digest sha256(std::string_view bytes)
{
    Digest digest{};
    PENSTOCK_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) ==
                   1);
    return digest;
}

Digest hmacSha256(std::string_view key, std::string_view text)
{
    Digest digest{};
    PENSTOCK_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                        reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(),
                        nullptr) != nullptr);
    return digest;
}

std::string_view textOf(const Digest& digest)
{
    return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string hex(const Digest& digest)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const unsigned char byte : digest) {
        text.push_back(kDigits[byte >> 4U]);
        text.push_back(kDigits[byte & 15U]);
    }
    return text;
}

std::string encode(std::string_view text, std::string_view kept)
{
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const bool isPlain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (isPlain || kept.find(c) != std::string_view::npos) {
            out.push_back(c);
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out.push_back('%');
        out.push_back(kDigits[byte >> 4U]);
        out.push_back(kDigits[byte & 15U]);
    }
    return out;
}

// 20261121T061716Z
std::string stampOf(WallTime now)
{
    std::string stamp = formatRfc3339(now).substr(0, 19) + "Z";
    std::erase_if(stamp, [](char c) { return c == '-' || c == ':'; });
    return stamp;
}

// Leading, trailing and repeated blanks do not count.
std::string canonicalValue(std::string_view value)
{
    std::string out;
    for (const char c : trim(value))
        if (c != ' ' || !out.ends_with(' '))
            out.push_back(c);
    return out;
}

std::string canonicalQuery(const QueryItems& query)
{
    std::vector<std::pair<std::string, std::string>> encoded;
    for (const auto& [name, value] : query)
        encoded.emplace_back(encodeQuery(name), encodeQuery(value));
    std::ranges::sort(encoded);
    std::string out;
    for (const auto& [name, value] : encoded)
        out += fmt::format("{}{}={}", out.empty() ? "" : "&", name, value);
    return out;
}

// What a signature covers, with lower-case names in order.
std::map<std::string, std::string> signedHeaders(const SignableRequest& request, const Headers& headers)
{
    std::map<std::string, std::string> covered{{"host", request.host}};
    for (const auto& [name, value] : headers)
        covered[toLower(name)] = canonicalValue(value);
    return covered;
}

std::string namesOf(const std::map<std::string, std::string>& headers)
{
    std::string names;
    for (const auto& [name, value] : headers)
        names += (names.empty() ? "" : ";") + name;
    return names;
}

// What all steps of one signature share.
struct Signing {
    const SignableRequest& request;
    const SigningScope& scope;
    std::string stamp;
    std::string payload;
};

Signing begin(const SignableRequest& request, const SigningScope& scope, WallTime now)
{
    return {request, scope, stampOf(now),
            request.payload.empty() ? std::string(kUnsignedPayload) : request.payload};
}

std::string scopeOf(const Signing& signing)
{
    const auto& [request, scope, stamp, payload] = signing;
    return fmt::format("{}/{}/{}/aws4_request", std::string_view(stamp).substr(0, 8), scope.region,
                       scope.service);
}

std::string signatureOf(const Signing& signing, std::string_view query,
                        const std::map<std::string, std::string>& headers)
{
    const auto& [request, scope, stamp, payload] = signing;
    std::string canonical = fmt::format("{}\n{}\n{}\n", request.method, request.path, query);
    for (const auto& [name, value] : headers)
        canonical += fmt::format("{}:{}\n", name, value);
    canonical += fmt::format("\n{}\n{}", namesOf(headers), payload);
    const std::string text =
        fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", stamp, scopeOf(signing), sha256Hex(canonical));
    Digest key = hmacSha256("AWS4" + scope.credentials.secretKey, std::string_view(stamp).substr(0, 8));
    for (const std::string_view part :
         {std::string_view(scope.region), std::string_view(scope.service), std::string_view("aws4_request")})
        key = hmacSha256(textOf(key), part);
    return hex(hmacSha256(textOf(key), text));
}

std::string urlOf(const SignableRequest& request, std::string_view query)
{
    return fmt::format("{}://{}{}{}{}", request.scheme, request.host, request.path, query.empty() ? "" : "?",
                       query);
}

} // namespace

std::string encodeQuery(std::string_view text)
{
    return encode(text, "-._~");
}

std::string encodePath(std::string_view text)
{
    return encode(text, "-._~/");
}

std::string sha256Hex(std::string_view bytes)
{
    return hex(sha256(bytes));
}

SignedCall signRequest(const SignableRequest& request, const SigningScope& scope, WallTime now)
{
    const Signing signing = begin(request, scope, now);
    SignedCall call{{}, request.headers};
    call.headers.emplace_back("x-amz-date", signing.stamp);
    call.headers.emplace_back("x-amz-content-sha256", signing.payload);
    if (!scope.credentials.sessionToken.empty())
        call.headers.emplace_back("x-amz-security-token", scope.credentials.sessionToken);
    const std::map<std::string, std::string> covered = signedHeaders(request, call.headers);
    const std::string query = canonicalQuery(request.query);
    call.url = urlOf(request, query);
    call.headers.emplace_back("Authorization",
                              fmt::format("AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={},Signature={}",
                                          scope.credentials.accessKey, scopeOf(signing), namesOf(covered),
                                          signatureOf(signing, query, covered)));
    return call;
}

SignedCall presignRequest(const SignableRequest& request, const SigningScope& scope, WallTime now,
                          std::chrono::seconds expiry)
{
    const Signing signing = begin(request, scope, now);
    SignedCall call{{}, request.headers};
    if (!request.payload.empty())
        call.headers.emplace_back("x-amz-content-sha256", request.payload);
    const std::map<std::string, std::string> covered = signedHeaders(request, call.headers);
    QueryItems items = request.query;
    items.emplace_back("X-Amz-Algorithm", "AWS4-HMAC-SHA256");
    items.emplace_back("X-Amz-Credential",
                       fmt::format("{}/{}", scope.credentials.accessKey, scopeOf(signing)));
    items.emplace_back("X-Amz-Date", signing.stamp);
    items.emplace_back("X-Amz-Expires", fmt::format("{}", expiry.count()));
    items.emplace_back("X-Amz-SignedHeaders", namesOf(covered));
    if (!scope.credentials.sessionToken.empty())
        items.emplace_back("X-Amz-Security-Token", scope.credentials.sessionToken);
    const std::string query = canonicalQuery(items);
    call.url =
        urlOf(request, fmt::format("{}&X-Amz-Signature={}", query, signatureOf(signing, query, covered)));
    return call;
}

} // namespace penstock::curl
