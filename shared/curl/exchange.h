// SPDX-License-Identifier: GPL-3.0-or-later
// One request and its answer on a libcurl handle: the callbacks and what they keep. Internal to HttpClient.
#pragma once

#include "shared/base/clock.h"
#include "shared/curl/http_client.h"
#include "shared/curl/open_sockets.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <curl/curl.h>

namespace penstock::curl {

// "https://host:1/path" of "https://user:password@host:1/path?signature": what a message may show.
[[nodiscard]] std::string shownUrl(std::string_view url);

class Exchange {
public:
    Exchange(const HttpRequest& request, const ByteSink& sink, const HttpClientOptions& options,
             OpenSockets& sockets);
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;
    ~Exchange();

    [[nodiscard]] Result<HttpResponse> run(CURL* handle);

private:
    [[nodiscard]] Result<void> holdSmallBody();
    [[nodiscard]] Result<void> addHeaders(CURL* handle);
    void addMethod(CURL* handle) const;
    void addCallbacks(CURL* handle);
    void addOptions(CURL* handle) const;
    [[nodiscard]] Error errorOf(CURLcode code, std::string_view detail) const;

    [[nodiscard]] bool hasBody() const;
    [[nodiscard]] bool isSuccess() const { return m_response.status >= 200 && m_response.status < 300; }
    [[nodiscard]] bool keep(Result<void> outcome); // false and remembered when it is an error
    [[nodiscard]] bool takeHeader(std::string_view line);
    [[nodiscard]] bool takeBody(std::string_view bytes);
    [[nodiscard]] std::optional<std::size_t> giveBody(std::span<char> buffer);
    [[nodiscard]] std::optional<std::size_t> giveFromSource(std::span<char> buffer);
    [[nodiscard]] bool mayGoOn(std::uint64_t bytesMoved);
    [[nodiscard]] bool hasServerLeft() const;

    static std::size_t onHeader(char* data, std::size_t one, std::size_t size, void* self);
    static std::size_t onWrite(char* data, std::size_t one, std::size_t size, void* self);
    static std::size_t onRead(char* data, std::size_t one, std::size_t size, void* self);
    static int onSeek(void* self, curl_off_t offset, int origin);
    static int onProgress(void* self, curl_off_t, curl_off_t down, curl_off_t, curl_off_t up);

    const HttpRequest& m_request;
    const ByteSink& m_sink;
    const HttpClientOptions& m_options;
    OpenSockets& m_sockets; // of the handle
    const SystemClock m_clock;
    curl_slist* m_headers = nullptr;

    std::string m_held; // a small streamed body
    bool m_isHeld = false;
    std::uint64_t m_given = 0; // of the body
    HttpResponse m_response;
    std::size_t m_headerBytes = 0;
    std::optional<Error> m_error; // why a callback ended the transfer

    // The stall watch: bytes moved since a moment, and when they were last enough.
    std::uint64_t m_windowBytes = 0;
    Instant m_windowStart;
    Instant m_lastEnough;
};

} // namespace penstock::curl
