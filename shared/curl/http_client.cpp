// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/curl/http_client.h"

#include "shared/base/check.h"
#include "shared/curl/exchange.h"
#include "shared/curl/open_sockets.h"

#include <algorithm>
#include <utility>

namespace penstock::curl {
namespace {

struct Cleanup {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};

} // namespace

const std::string* HttpResponse::header(std::string_view lowerCaseName) const
{
    const auto found = std::ranges::find(headers, lowerCaseName, &std::pair<std::string, std::string>::first);
    return found == headers.end() ? nullptr : &found->second;
}

class HttpClient::State {
public:
    explicit State(HttpClientOptions wanted) : options(std::move(wanted))
    {
        static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
        PENSTOCK_CHECK(initialised == CURLE_OK);
        handle.reset(curl_easy_init());
        PENSTOCK_CHECK(handle != nullptr);
    }

    HttpClientOptions options;
    OpenSockets sockets; // before the handle: ends after it
    std::unique_ptr<CURL, Cleanup> handle;
};

HttpClient::HttpClient(HttpClientOptions options) : m_state(std::make_unique<State>(std::move(options))) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

Result<HttpResponse> HttpClient::perform(const HttpRequest& request, const ByteSink& sink)
{
    Exchange exchange(request, sink, m_state->options, m_state->sockets);
    return exchange.run(m_state->handle.get());
}

} // namespace penstock::curl
