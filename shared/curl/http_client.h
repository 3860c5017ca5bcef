// SPDX-License-Identifier: GPL-3.0-or-later
// HttpClient: blocking HTTP requests with streamed bodies over kept connections, by libcurl. For pool
// threads; one thread at a time uses a client. Errors: Unavailable (no connection, cut, stalled: may be tried
// again), Denied (TLS trust, a redirect to another scheme), Invalid (URL, header, files of the options),
// Cancelled, Exhausted (an answer above its limit), or what a sink, source or onHead of the caller returned.
// An answer with any HTTP status is no error here. Messages name the URL without its query, which may be a
// signature.
#pragma once

#include "shared/base/result.h"
#include "shared/base/stream.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::curl {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpResponse {
    unsigned status = 0;
    Headers headers;  // names in lower case
    std::string body; // unless it went to the sink

    [[nodiscard]] const std::string* header(std::string_view lowerCaseName) const;
};

struct HttpRequest {
    std::string method = "GET";
    std::string url = {};   // http, https; percent-encoded by the caller; sent as it is
    Headers headers = {};   // in the caller's order; an empty value sends "Name:"
    std::string text = {};  // the body, unless source is set
    ByteSource source = {}; // a streamed body
    std::optional<std::uint64_t> size = std::nullopt; // of the streamed body; none: chunked
    std::size_t maxAnswerBytes = 16U << 20U;          // kept in HttpResponse.body
    unsigned maxRedirects = 5; // GET and HEAD only, to the same scheme only; 0: the 3xx is the answer
    // Called with status and headers of a 2xx answer before its first byte; an error ends the request.
    std::function<Result<void>(const HttpResponse&)> onHead = {};
    std::function<bool()> isCancelled = {}; // beside that of the client's options
};

struct HttpClientOptions {
    std::string caFile = {};         // empty: the system's
    std::string clientCertFile = {}; // mutual TLS
    std::string clientKeyFile = {};
    std::string proxy = {}; // http://host:port; empty: none, whatever the environment says
    std::string userAgent = "penstock";
    std::chrono::milliseconds connectTimeout{10'000};
    // Less than this many bytes a second for this long is a stall; waiting for an answer counts, time spent
    // in the caller's sink or source does not. 0 seconds: never.
    std::uint64_t stallBytes = 1;
    std::chrono::seconds stallTime{60};
    std::function<bool()> isCancelled = {}; // asked at least every second, on the calling thread; none: never
};

class HttpClient {
public:
    explicit HttpClient(HttpClientOptions options);
    ~HttpClient();
    HttpClient(HttpClient&&) noexcept;
    HttpClient& operator=(HttpClient&&) noexcept;

    // sink: takes the body of a 2xx answer piece by piece; the body of any other answer is kept in the
    // response. A body of up to 1 MiB is held in memory and sent anew when a kept connection turns out to be
    // dead.
    [[nodiscard]] Result<HttpResponse> perform(const HttpRequest& request, const ByteSink& sink = {});

private:
    class State;
    std::unique_ptr<State> m_state;
};

} // namespace penstock::curl
