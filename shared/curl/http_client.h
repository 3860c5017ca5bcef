// SPDX-License-Identifier: GPL-3.0-or-later
// HttpClient: blocking HTTP requests with streamed bodies over kept connections, by libcurl. For pool threads; one
// thread at a time uses a client. Errors: Unavailable (no connection, cut, stalled: may be tried again), Timeout,
// Cancelled, Exhausted (an answer above its limit), or what a sink or source of the caller returned. An answer with any
// HTTP status is no error here.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/base/stream.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace penstock::curl {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
    std::string method = "GET";
    std::string url;                    // http, https; percent-encoded by the caller; sent as it is
    Headers headers;                    // in the caller's order; an empty value sends "Name:"
    std::string text;                   // the body, unless source is set
    ByteSource source;                  // a streamed body
    std::optional<std::uint64_t> size;  // of the streamed body; none: chunked
    std::size_t maxAnswerBytes = 16U << 20U; // kept in HttpResponse.body
    std::string awsSigV4;               // "aws:amz:REGION:s3": sign with user and password; empty: no
    std::string user;
    std::string password;
};

struct HttpResponse {
    unsigned status = 0;
    Headers headers; // names in lower case
    std::string body; // unless it went to the sink

    [[nodiscard]] const std::string* header(std::string_view lowerCaseName) const;
};

struct HttpClientOptions {
    std::string caFile;          // empty: the system's
    std::string clientCertFile;  // mutual TLS
    std::string clientKeyFile;
    std::string userAgent = "penstock";
    std::chrono::milliseconds connectTimeout{10'000};
    // Less than this many bytes a second for this long is a stall.
    std::uint64_t stallBytes = 1;
    std::chrono::seconds stallTime{60};
    std::function<bool()> isCancelled; // asked every now and then; none: never
};

class HttpClient {
public:
    explicit HttpClient(HttpClientOptions options);
    ~HttpClient();
    HttpClient(HttpClient&&) noexcept;
    HttpClient& operator=(HttpClient&&) noexcept;

    // sink: takes the body of a 2xx answer piece by piece; the body of any other answer is kept in the response.
    [[nodiscard]] Result<HttpResponse> perform(const HttpRequest& request, const ByteSink& sink = {});

private:
    class State;
    std::unique_ptr<State> m_state;
};

} // namespace penstock::curl
