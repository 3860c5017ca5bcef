// SPDX-License-Identifier: GPL-3.0-or-later
// Road: a client of the server's /transfer routes: what a store path needs, its NAR, and how a path comes to
// the server. Blocking, for pool threads; callable from several at once. What may be tried again is, with
// growing waits; a download that breaks goes on where it was. Errors: Unavailable (after all tries),
// Cancelled, Denied (the credential is not, or no longer, good), NotFound, Conflict, Corrupt (what came is
// damaged, or the server says so of ours), Exhausted (its disk, a limit), Invalid; each names the path, and
// what to do.
#pragma once

#include "shared/base/result.h"
#include "shared/base/stream.h"
#include "shared/curl/client_pool.h"
#include "shared/curl/retry.h"
#include "shared/nix/narinfo.h"
#include "shared/transfer/answers.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::transfer {

using IsCancelled = std::function<bool()>; // asked on the calling thread, at least every second

// A closure longer than this is refused.
inline constexpr std::size_t kMaxClosurePaths = 500'000;

// Kept connections for all roads of a process. Answers that may take long have clients of their own.
class RoadClients {
public:
    explicit RoadClients(const curl::HttpClientOptions& options);
    curl::ClientPool quick;
    curl::ClientPool patient;
};

struct RoadOptions {
    std::function<std::string()> server; // ws(s):// or http(s)://HOST:PORT; asked for every request, since a
                                         // builder's server may move
    std::string credential;              // a grant or a token; empty: none
    std::optional<std::uint64_t> attempt = std::nullopt; // that the grant is for
    nix::StoreDir storeDir = nix::StoreDir::standard();
    curl::BackOff backOff = {};
};

class Road {
public:
    Road(RoadOptions options, std::shared_ptr<RoadClients> clients);

    [[nodiscard]] const nix::StoreDir& storeDir() const { return m_options.storeDir; }

    // ---- from the server
    [[nodiscard]] Result<std::optional<nix::NarInfo>> info(const nix::StorePath& path,
                                                           const IsCancelled& isCancelled) const;
    // All that the paths need at run time, references first. What the server does not have is left out.
    [[nodiscard]] Result<std::vector<nix::NarInfo>> closure(const nix::StorePathSet& paths,
                                                            const IsCancelled& isCancelled) const;
    // The NAR, decompressed. Its hash is for the taker to check; the length of the file is checked here.
    [[nodiscard]] Result<void> readNar(const nix::NarInfo& info, const ByteSink& nar,
                                       const IsCancelled& isCancelled) const;

    // ---- to the server
    // isDirect: the server's own disk or its road to S3 shall take it, since we do not reach S3.
    [[nodiscard]] Result<std::vector<PathPlan>> announce(const std::vector<nix::NarInfo>& infos,
                                                         bool isDirect, const IsCancelled& isCancelled) const;
    struct Body {
        ByteSource source;
        std::optional<std::uint64_t> size; // none: chunked; the server takes that, S3 does not
    };
    // One try; gives the ETag.
    [[nodiscard]] Result<std::string> put(const nix::StorePath& path, const PutOrder& order, Body body,
                                          const IsCancelled& isCancelled) const;
    [[nodiscard]] Result<std::vector<PartOrder>> moreParts(const nix::StorePath& path,
                                                           const std::string& upload,
                                                           const std::vector<unsigned>& numbers,
                                                           const IsCancelled& isCancelled) const;
    // paths: at most kMaxPathsInRequest, with what they refer to published before or among them.
    [[nodiscard]] Result<void> publish(const std::vector<nix::StorePath>& paths,
                                       const std::vector<PartsDone>& uploads,
                                       const IsCancelled& isCancelled) const;

    // Waits as long as it is right before the given retry (1, 2, …). False: cancelled, or it was tried often
    // enough.
    [[nodiscard]] bool waitBefore(unsigned retry, const IsCancelled& isCancelled,
                                  std::optional<Duration> retryAfter = std::nullopt) const;

private:
    struct Resume;
    [[nodiscard]] Result<std::string> url(std::string_view path) const;
    void addCredential(curl::Headers& headers) const;
    [[nodiscard]] std::string attemptQuery(char first) const;
    // Tries until there is an answer that trying again would not change; 2xx and 404 are results.
    [[nodiscard]] Result<curl::HttpResponse> ask(curl::HttpRequest request, std::string_view path,
                                                 std::string_view what, bool isPatient = false) const;
    [[nodiscard]] Result<void> readOnce(const nix::NarInfo& info, Resume& resume, const ByteSink& sink,
                                        const IsCancelled& isCancelled) const;

    RoadOptions m_options;
    std::shared_ptr<RoadClients> m_clients;
};

} // namespace penstock::transfer
