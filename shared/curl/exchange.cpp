// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/curl/exchange.h"

#include "shared/base/text.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace penstock::curl {
namespace {

// Below it a body costs less than waiting for "100 Continue", and is kept so that it can be sent again.
constexpr std::uint64_t kSmallBody = 1U << 20U;
constexpr std::size_t kMaxHeaderBytes = 256 * 1024;
constexpr long kBufferBytes = 256 * 1024;
constexpr Duration kSecond = std::chrono::seconds(1);

bool breaksHeader(std::string_view text)
{
    return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

bool hasHeader(const Headers& headers, std::string_view lowerCaseName)
{
    return std::ranges::any_of(headers,
                               [&](const auto& each) { return toLower(each.first) == lowerCaseName; });
}

} // namespace

std::string shownUrl(std::string_view url)
{
    constexpr std::size_t kMaxShown = 300;
    std::string shown(url.substr(0, url.find_first_of("?#")));
    const std::size_t scheme = shown.find("://");
    const std::size_t authority = scheme == std::string::npos ? 0 : scheme + 3;
    const std::size_t user = shown.rfind('@', shown.find('/', authority));
    if (user != std::string::npos && user >= authority)
        shown.erase(authority, user + 1 - authority);
    return toValidUtf8(std::string_view(shown).substr(0, kMaxShown));
}

Exchange::Exchange(const HttpRequest& request, const ByteSink& sink, const HttpClientOptions& options,
                   OpenSockets& sockets)
    : m_request(request), m_sink(sink), m_options(options), m_sockets(sockets)
{}

Exchange::~Exchange()
{
    curl_slist_free_all(m_headers);
}

bool Exchange::hasBody() const
{
    return m_request.source || !m_request.text.empty();
}

// A streamed body that is small is read beforehand: only then can it be sent again on a second connection.
Result<void> Exchange::holdSmallBody()
{
    if (!m_request.source || !m_request.size || *m_request.size > kSmallBody)
        return {};
    m_held.resize(*m_request.size);
    while (m_given < m_held.size()) {
        const std::optional<std::size_t> size = giveFromSource(std::span(m_held).subspan(m_given));
        if (!size)
            return fail(*m_error);
        m_given += *size;
    }
    m_isHeld = true;
    m_given = 0;
    return {};
}

Result<void> Exchange::addHeaders(CURL* handle)
{
    const auto add = [this](const std::string& line) -> Result<void> {
        curl_slist* const longer = curl_slist_append(m_headers, line.c_str());
        if (longer == nullptr)
            return fail(ErrorCode::Internal, "no memory for a request header");
        m_headers = longer;
        return {};
    };
    for (const auto& [name, value] : m_request.headers) {
        if (name.empty() || name.find_first_of(" :;\t") != std::string::npos || breaksHeader(name) ||
            breaksHeader(value))
            return fail(
                ErrorCode::Invalid,
                fmt::format("request header \"{}\" has a character that headers may not have; encode it",
                            toValidUtf8(name)));
        // curl's spelling of a header without a value.
        PENSTOCK_TRY_VOID(add(value.empty() ? name + ";" : fmt::format("{}: {}", name, value)));
    }
    const bool isBig = m_request.source && !m_isHeld;
    if (!isBig && !hasHeader(m_request.headers, "expect"))
        PENSTOCK_TRY_VOID(add("Expect:"));
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, m_headers);
    return {};
}

void Exchange::addMethod(CURL* handle) const
{
    const std::string& method = m_request.method;
    curl_easy_setopt(handle, CURLOPT_URL, m_request.url.c_str());
    const bool isRead = method == "GET" || method == "HEAD";
    if (method == "HEAD") {
        curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
    } else if (hasBody() || method == "PUT" || method == "POST" || method == "PATCH") {
        curl_off_t size = static_cast<curl_off_t>(m_request.text.size());
        if (m_request.source)
            size = m_request.size ? static_cast<curl_off_t>(*m_request.size) : curl_off_t{-1};
        curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(handle, CURLOPT_INFILESIZE_LARGE, size);
        curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method.c_str());
    } else {
        curl_easy_setopt(handle, CURLOPT_HTTPGET, 1L);
        if (method != "GET")
            curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method.c_str());
    }
    const bool follows = isRead && !hasBody() && m_request.maxRedirects > 0;
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, follows ? 1L : 0L);
    curl_easy_setopt(handle, CURLOPT_MAXREDIRS, static_cast<long>(m_request.maxRedirects));
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    const bool isSecure = toLower(std::string_view(m_request.url).substr(0, 8)) == "https://";
    curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, isSecure ? "https" : "http");
}

void Exchange::addCallbacks(CURL* handle)
{
    void* const self = this;
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, &Exchange::onHeader);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, self);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &Exchange::onWrite);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, self);
    curl_easy_setopt(handle, CURLOPT_READFUNCTION, &Exchange::onRead);
    curl_easy_setopt(handle, CURLOPT_READDATA, self);
    curl_easy_setopt(handle, CURLOPT_SEEKFUNCTION, &Exchange::onSeek);
    curl_easy_setopt(handle, CURLOPT_SEEKDATA, self);
    curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, &Exchange::onProgress);
    curl_easy_setopt(handle, CURLOPT_XFERINFODATA, self);
    curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
}

void Exchange::addOptions(CURL* handle) const
{
    const auto addText = [handle](CURLoption option, const std::string& text) {
        if (!text.empty())
            curl_easy_setopt(handle, option, text.c_str());
    };
    addText(CURLOPT_CAINFO, m_options.caFile);
    addText(CURLOPT_SSLCERT, m_options.clientCertFile);
    addText(CURLOPT_SSLKEY, m_options.clientKeyFile);
    addText(CURLOPT_USERAGENT, m_options.userAgent);
    curl_easy_setopt(handle, CURLOPT_PROXY, m_options.proxy.c_str()); // empty: the environment is not asked
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, long{m_options.connectTimeout.count()});
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(handle, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, kBufferBytes);
    curl_easy_setopt(handle, CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
}

Result<HttpResponse> Exchange::run(CURL* handle)
{
    std::array<char, CURL_ERROR_SIZE> detail{};
    PENSTOCK_TRY_VOID(holdSmallBody());
    curl_easy_reset(handle); // connections, names and TLS sessions stay
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, detail.data());
    addOptions(handle);
    addMethod(handle);
    addCallbacks(handle);
    m_sockets.watch(handle);
    PENSTOCK_TRY_VOID(addHeaders(handle));
    m_windowStart = m_lastEnough = m_clock.now().mono;
    const CURLcode code = curl_easy_perform(handle);
    curl_easy_reset(handle); // it must not point at this object any more
    if (m_error)
        return fail(*std::move(m_error));
    if (code != CURLE_OK)
        return fail(errorOf(code, detail[0] != '\0' ? detail.data() : curl_easy_strerror(code)));
    return std::move(m_response);
}

Error Exchange::errorOf(CURLcode code, std::string_view detail) const
{
    const std::string what =
        fmt::format("{} {}: {}", m_request.method, shownUrl(m_request.url), toValidUtf8(detail));
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED: // a user in the URL
        return {ErrorCode::Invalid, what + "; write http(s)://host[:port]/path"};
    case CURLE_UNSUPPORTED_PROTOCOL:
        return {m_response.status == 0 ? ErrorCode::Invalid : ErrorCode::Denied,
                what + "; only http and https are spoken, and a redirect must keep the scheme"};
    case CURLE_TOO_MANY_REDIRECTS:
        return {ErrorCode::Invalid, fmt::format("{} (limit {})", what, m_request.maxRedirects)};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return {ErrorCode::Denied, what + "; name the authority's certificate, or mend the server's"};
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return {ErrorCode::Invalid,
                fmt::format("{}; check the files \"{}\", \"{}\", \"{}\"", what, m_options.caFile,
                            m_options.clientCertFile, m_options.clientKeyFile)};
    case CURLE_OUT_OF_MEMORY: return {ErrorCode::Internal, what};
    default: return {ErrorCode::Unavailable, what};
    }
}

bool Exchange::keep(Result<void> outcome)
{
    if (!outcome)
        m_error = std::move(outcome).error();
    return !m_error.has_value();
}

bool Exchange::takeHeader(std::string_view line)
{
    while (line.ends_with('\n') || line.ends_with('\r'))
        line.remove_suffix(1);
    m_headerBytes += line.size();
    if (m_headerBytes > kMaxHeaderBytes)
        return keep(fail(ErrorCode::Exhausted,
                         fmt::format("{} {}: the answer's headers exceed {} bytes; is this the right server?",
                                     m_request.method, shownUrl(m_request.url), kMaxHeaderBytes)));
    if (line.starts_with("HTTP/")) { // of an interim answer, a redirect, or the last one
        const std::vector<std::string_view> words = split(line, ' ');
        const Result<std::uint64_t> status = parseUnsigned(words.size() > 1 ? words[1] : "");
        m_response = {};
        m_response.status = status && *status < 1000 ? static_cast<unsigned>(*status) : 0;
        return true;
    }
    if (line.empty())
        return !isSuccess() || !m_request.onHead || keep(m_request.onHead(m_response));
    if (const std::size_t colon = line.find(':'); colon != std::string_view::npos)
        m_response.headers.emplace_back(toLower(line.substr(0, colon)), trim(line.substr(colon + 1)));
    return true;
}

bool Exchange::takeBody(std::string_view bytes)
{
    if (m_sink && isSuccess()) {
        const Instant before = m_clock.now().mono;
        const bool goesOn = keep(m_sink(bytes));
        m_lastEnough = m_lastEnough + (m_clock.now().mono - before);
        return goesOn;
    }
    if (m_response.body.size() + bytes.size() > m_request.maxAnswerBytes)
        return keep(fail(ErrorCode::Exhausted,
                         fmt::format("{} {}: the answer (status {}) exceeds {} bytes", m_request.method,
                                     shownUrl(m_request.url), m_response.status, m_request.maxAnswerBytes)));
    m_response.body.append(bytes);
    return true;
}

std::optional<std::size_t> Exchange::giveFromSource(std::span<char> buffer)
{
    const auto refuse = [this](std::string_view what) {
        m_error = Error{ErrorCode::Invalid,
                        fmt::format("{} {}: the body {} the {} bytes announced; it must have exactly these",
                                    m_request.method, shownUrl(m_request.url), what, *m_request.size)};
        return std::nullopt;
    };
    if (m_request.size && m_given == *m_request.size)
        return 0;
    if (m_request.size)
        buffer = buffer.first(std::min<std::uint64_t>(buffer.size(), *m_request.size - m_given));
    const Instant before = m_clock.now().mono;
    const Result<std::size_t> size = m_request.source(buffer);
    if (!size) {
        m_error = size.error();
        return std::nullopt;
    }
    if (m_request.size && *size == 0)
        return refuse("ends before");
    if (m_request.size && m_given + *size == *m_request.size) {
        char beyond = 0; // asked now: after its last byte curl asks no more
        const Result<std::size_t> more = m_request.source(std::span(&beyond, 1));
        if (more && *more > 0)
            return refuse("goes beyond");
    }
    m_lastEnough = m_lastEnough + (m_clock.now().mono - before);
    return *size;
}

std::optional<std::size_t> Exchange::giveBody(std::span<char> buffer)
{
    std::optional<std::size_t> size;
    if (m_request.source && !m_isHeld) {
        size = giveFromSource(buffer);
    } else {
        const std::string& text = m_isHeld ? m_held : m_request.text;
        size = std::min<std::uint64_t>(buffer.size(), text.size() - m_given);
        std::memcpy(buffer.data(), text.data() + m_given, *size);
    }
    m_given += size.value_or(0);
    return size;
}

// While it sends a body, libcurl takes the end of the server's stream for nothing and goes on; with somebody between
// who keeps the other direction open (a proxy), for as long as that one likes. Not asked where libcurl tries again by
// itself, as a kept connection that died meanwhile needs: the body is owned, or nothing of it has been given yet.
bool Exchange::hasServerLeft() const
{
    return m_request.source && !m_isHeld && m_given > 0 && m_response.status < 200 && m_sockets.hasPeerLeft();
}

bool Exchange::mayGoOn(std::uint64_t bytesMoved)
{
    if ((m_options.isCancelled && m_options.isCancelled()) ||
        (m_request.isCancelled && m_request.isCancelled()))
        return keep(fail(ErrorCode::Cancelled,
                         fmt::format("{} {}: cancelled", m_request.method, shownUrl(m_request.url))));
    if (hasServerLeft())
        return keep(fail(ErrorCode::Unavailable,
                         fmt::format("{} {}: the server closed the connection before it had the whole body",
                                     m_request.method, shownUrl(m_request.url))));
    if (m_options.stallTime.count() <= 0)
        return true;
    const Instant now = m_clock.now().mono;
    if (now - m_windowStart < kSecond)
        return true;
    // A retry on a second connection starts counting anew.
    const std::uint64_t moved = bytesMoved >= m_windowBytes ? bytesMoved - m_windowBytes : bytesMoved;
    const auto millis = static_cast<std::uint64_t>((now - m_windowStart).count() / 1000);
    if (moved > 0 && moved * 1000 >= m_options.stallBytes * millis)
        m_lastEnough = now;
    m_windowBytes = bytesMoved;
    m_windowStart = now;
    if (now - m_lastEnough < m_options.stallTime)
        return true;
    return keep(fail(
        ErrorCode::Unavailable,
        fmt::format("{} {}: less than {} bytes a second for {} s; the server hangs or the network is cut",
                    m_request.method, shownUrl(m_request.url), m_options.stallBytes,
                    m_options.stallTime.count())));
}

std::size_t Exchange::onHeader(char* data, std::size_t one, std::size_t size, void* self)
{
    return static_cast<Exchange*>(self)->takeHeader({data, one * size}) ? one * size : 0;
}

std::size_t Exchange::onWrite(char* data, std::size_t one, std::size_t size, void* self)
{
    return static_cast<Exchange*>(self)->takeBody({data, one * size}) ? one * size : 0;
}

std::size_t Exchange::onRead(char* data, std::size_t one, std::size_t size, void* self)
{
    return static_cast<Exchange*>(self)->giveBody({data, one * size}).value_or(CURL_READFUNC_ABORT);
}

// To the start only: when a kept connection was dead, or the server wants the request again.
int Exchange::onSeek(void* self, curl_off_t offset, int origin)
{
    auto& exchange = *static_cast<Exchange*>(self);
    const bool isOwned = !exchange.m_request.source || exchange.m_isHeld;
    if (offset != 0 || origin != SEEK_SET || (!isOwned && exchange.m_given > 0))
        return CURL_SEEKFUNC_FAIL;
    exchange.m_given = 0;
    return CURL_SEEKFUNC_OK;
}

int Exchange::onProgress(void* self, curl_off_t, curl_off_t down, curl_off_t, curl_off_t up)
{
    return static_cast<Exchange*>(self)->mayGoOn(static_cast<std::uint64_t>(down) +
                                                 static_cast<std::uint64_t>(up))
               ? 0
               : 1;
}

} // namespace penstock::curl
