// SPDX-License-Identifier: GPL-3.0-or-later
// The server as a binary cache for Nix's own clients (nix-formats 4): narinfos, NARs with ranges, logs, listings.
#include "server/http/byte_range.h"
#include "server/http/inputs.h"
#include "server/http/json_writer.h"
#include "server/transfer/transfer_desk.h"

#include <algorithm>
#include <string>

namespace penstock::http {
namespace {

// Before cache.nixos.org (40): what the farm built is nearer.
constexpr unsigned kPriority = 30;
// A digest names one content for good, as far as its reader is concerned.
constexpr std::string_view kForever = "max-age=31536000, immutable";

bool isDigest(std::string_view text)
{
    constexpr std::string_view kDigits = "0123456789abcdfghijklmnpqrsvwxyz"; // nix-formats 1.2
    return text.size() == nix::kStoreDigestLength &&
           std::ranges::all_of(text, [&](char c) { return kDigits.find(c) != std::string_view::npos; });
}

Reply nothingAt(const Request& request)
{
    return problem(404, fmt::format("nothing is at {}", toValidUtf8(request.head.path.substr(0, 300))));
}

void cacheInfo(const Site& site, const Request&, Respond respond)
{
    respond({200, "text/x-nix-cache-info",
             fmt::format("StoreDir: {}\nWantMassQuery: 1\nPriority: {}\n", site.desk->storeDir().text(), kPriority),
             {}});
}

void narInfo(const Site& site, const Request& request, Respond respond)
{
    const auto& digest = request.params[0];
    if (!isDigest(digest))
        return respond(nothingAt(request));
    site.desk->findDigest(digest, [&site, digest, missing = nothingAt(request), respond = std::move(respond)](
                                      Result<std::optional<nix::NarInfo>> found) {
        if (!found)
            return respond(problem(found.error()));
        if (!*found || (*found)->path.digest() != digest)
            return respond(missing);
        respond({200, "text/x-nix-narinfo", nix::printNarInfo(site.desk->storeDir(), **found), {}});
    });
}

Reply sendFile(const Site& site, const RequestHead& head, const std::string& key, std::string_view type,
               const cache::ObjectInfo& info)
{
    const auto tag = fmt::format("\"{}-{}\"", key.substr(key.rfind('/') + 1), info.size);
    std::vector<std::pair<std::string, std::string>> headers{
        {"ETag", tag}, {"Accept-Ranges", "bytes"}, {"Cache-Control", std::string(kForever)}};
    if (!info.contentEncoding.empty())
        headers.emplace_back("Content-Encoding", info.contentEncoding);
    if (hasAlready(head, tag))
        return {304, {}, {}, std::move(headers)};
    const auto range = chooseRange(head, tag, info.size);
    if (range.kind == RangeKind::Unsatisfiable) {
        auto reply = problem(416, fmt::format("Range {} begins past the end: /{} has {} bytes",
                                              head.header("range").substr(0, 100), key, info.size));
        reply.headers.emplace_back("Content-Range", fmt::format("bytes */{}", info.size));
        return reply;
    }
    const bool part = range.kind == RangeKind::Part;
    if (part)
        headers.emplace_back("Content-Range", fmt::format("bytes {}-{}/{}", range.offset,
                                                          range.offset + range.length - 1, info.size));
    if (head.method != "HEAD")
        site.desk->countOut(range.length);
    auto produce = [desk = site.desk, key, range](const ByteSink& sink) {
        return desk->readFile(key, {range.offset, range.length}, sink);
    };
    auto stream = std::make_shared<const BodyStream>(BodyStream{range.length, std::move(produce)});
    return {part ? 206U : 200U, std::string(type), {}, std::move(headers), std::move(stream)};
}

struct FileKind {
    std::string_view prefix;
    std::string_view suffix;
    std::string_view type;
};

void file(const Site& site, const FileKind& kind, const Request& request, Respond respond)
{
    auto key = fmt::format("{}{}{}", kind.prefix, request.params[0], kind.suffix);
    if (!cache::checkKey(key))
        return respond(nothingAt(request));
    site.desk->findFile(key, [&site, key, type = kind.type, head = request.head, missing = nothingAt(request),
                              respond = std::move(respond)](const Result<std::optional<cache::ObjectInfo>>& found) {
        if (!found)
            return respond(problem(found.error()));
        respond(*found ? sendFile(site, head, key, type, **found) : missing);
    });
}

} // namespace

std::vector<Route> cacheRoutes(const Site& site)
{
    using auth::Action;
    const RouteTraits open{.password = true};
    const auto with = [&site](auto function) {
        return [&site, function](const Request& request, Respond respond) {
            function(site, request, std::move(respond));
        };
    };
    const auto files = [&site](FileKind kind) {
        return [&site, kind](const Request& request, Respond respond) {
            file(site, kind, request, std::move(respond));
        };
    };
    return {
        {"GET", "/nix-cache-info", Action::Fetch, {}, with(cacheInfo), "what this binary cache is", {}, open},
        {"GET", "/{}.narinfo", Action::Fetch, {}, with(narInfo), "what is known of a store path, by its digest", {},
         open},
        {"GET", "/{}.ls", Action::Fetch, {}, files({"", ".ls", "application/json"}), "the files of a store path", {},
         open},
        {"GET", "/nar/{}", Action::Fetch, {}, files({"nar/", "", "application/x-nix-nar"}),
         "a store path as an archive; ranges are possible", {}, open},
        {"GET", "/log/{}", Action::Fetch, {}, files({"log/", "", "text/plain; charset=utf-8"}),
         "the log of a derivation's build", {}, open},
        {"GET", "/realisations/{}", Action::Fetch, {}, files({"realisations/", "", "application/json"}),
         "the path of a content-addressed output", {}, open},
        {"GET", "/debuginfo/{}", Action::Fetch, {}, files({"debuginfo/", "", "application/json"}),
         "where the debug file of a build id is", {}, open},
    };
}

} // namespace penstock::http
