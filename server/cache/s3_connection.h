// SPDX-License-Identifier: GPL-3.0-or-later
// S3Connection: signed requests to one bucket, tried again while that is of use, and what a refusal means.
// Callable from pool threads, several at once. Messages name status, S3's code and the key, never a signature
// or a secret.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mutex.h"
#include "shared/curl/client_pool.h"
#include "shared/curl/retry.h"
#include "shared/curl/sigv4.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace penstock::cache {

struct S3StoreOptions {
    std::string bucket;
    std::string prefix = {}; // put before every key: empty, or ends with a slash
    std::string scheme = "https";
    std::string host;        // of the endpoint, with its port unless that is the scheme's own
    bool isPathStyle = true; // https://host/bucket/key; else https://bucket.host/key
    std::string region = "us-east-1";
    curl::AwsCredentials credentials;
    // Asked, by any thread, when the server says that the credentials have expired; none: they stay.
    std::function<Result<curl::AwsCredentials>()> reloadCredentials = {};

    std::uint64_t partBytes = 8U << 20U; // smaller objects are one PUT; else the first parts (partBytesOf)
    std::uint64_t memoryBytes =
        256U << 20U;            // of parts on their way, for each object; never less than one part
    unsigned parallelParts = 4; // for each object
    curl::BackOff backOff = {};
    curl::HttpClientOptions http = {};
    std::function<std::uint32_t()> random = {}; // spreads retries; none: the system's
    Logger* log = nullptr; // retries and failed clean-ups; none: silent. Outlives the store
};

struct S3Request {
    std::string method;
    std::string key = {}; // with the prefix; empty: the bucket itself
    curl::QueryItems query = {};
    curl::Headers headers = {};
    std::string_view body = {};
    bool isXmlAnswered = false; // a 200 whose body is an error, or no XML, is a failure of the server
    unsigned attempts = 0;      // 0: as the options say
    std::function<bool()> isCancelled = {};
};

struct S3Answer {
    curl::HttpResponse response;
    std::string code = {}; // of S3's error document
    bool isUnsure = false; // an earlier try got no answer, so it may have been carried out

    [[nodiscard]] bool isSuccess() const { return response.status >= 200 && response.status < 300; }
};

// How often a request was tried, and what its last failure was.
struct S3Tries {
    unsigned done = 0;
    bool isUnsure = false;
    bool isReloaded = false;
};

class S3Connection {
public:
    explicit S3Connection(S3StoreOptions options);

    // The answer, of any status that another try would not change.
    [[nodiscard]] Result<S3Answer> call(const S3Request& request);
    // One try; a body of success goes to the sink.
    [[nodiscard]] Result<S3Answer> once(const S3Request& request, std::string_view payloadHash,
                                        const ByteSink& sink = {},
                                        std::function<Result<void>(const curl::HttpResponse&)> onHead = {});
    // After a try: waits and says true when there should be another.
    [[nodiscard]] bool shouldRetry(const S3Request& request, const Result<S3Answer>& outcome, S3Tries& tries);
    // What a refusal means.
    [[nodiscard]] Error errorOf(const S3Request& request, const S3Answer& answer) const;

    [[nodiscard]] curl::SignedCall presign(const S3Request& request, std::chrono::seconds expiry);
    [[nodiscard]] const S3StoreOptions& options() const { return m_options; }
    [[nodiscard]] std::string keyOf(std::string_view key) const
    {
        return m_options.prefix + std::string(key);
    }
    [[nodiscard]] WallTime now() const { return m_clock.now().wall; }
    void warn(std::string_view event, std::string_view key, const Error& error) const;

private:
    [[nodiscard]] curl::SignableRequest signable(const S3Request& request) const;
    [[nodiscard]] curl::SigningScope scope();
    [[nodiscard]] bool reload(std::string_view code);

    const S3StoreOptions m_options;
    const SystemClock m_clock;
    curl::ClientPool m_clients;
    Mutex m_mutex;
    curl::AwsCredentials m_credentials PENSTOCK_GUARDED_BY(m_mutex);
};

} // namespace penstock::cache
