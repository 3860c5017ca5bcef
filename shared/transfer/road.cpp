// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/transfer/road.h"

#include "shared/base/text.h"
#include "shared/curl/pause.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

namespace penstock::transfer {
namespace {

constexpr std::size_t kMaxClosureBytes = 512U << 20U; // of one answer
constexpr std::size_t kMaxPlanBytes = 64U << 20U;
constexpr std::chrono::seconds kPatience{3'600};
// Not a byte for so long, and the server is gone without a word (its machine died, its road was cut).
constexpr std::chrono::seconds kStall{30};

curl::HttpClientOptions patient(curl::HttpClientOptions options)
{
    options.stallTime = kPatience; // publishing reads back what went past the server
    return options;
}

curl::HttpClientOptions watchful(curl::HttpClientOptions options)
{
    options.stallTime = std::min(options.stallTime, kStall);
    return options;
}

Error errorOf(const curl::HttpResponse& answer, std::string_view what)
{
    const std::string told = problemText(answer.body);
    const auto error = [&](ErrorCode code, std::string_view advice) {
        return Error{code, fmt::format("{}: the server says {}{}{}{}", what, answer.status,
                                       told.empty() ? "" : ": ", told, advice)};
    };
    switch (answer.status) {
    case 401:
    case 403: return error(ErrorCode::Denied, "; is the attempt still wanted, and the token good?");
    case 404: return error(ErrorCode::NotFound, "");
    case 409: return error(ErrorCode::Conflict, "");
    case 413: return error(ErrorCode::Exhausted, "; send less at once");
    case 422: return error(ErrorCode::Corrupt, "");
    case 507: return error(ErrorCode::Exhausted, "; make room where the server's store lies");
    default: break;
    }
    if (curl::isWorthRetrying(answer.status))
        return error(ErrorCode::Unavailable, "; try again later");
    return error(ErrorCode::Invalid,
                 "; is this a Penstock server, and of a version that goes with this program?");
}

// Of whoever a signed address leads to: S3, which says why in <Code>.
std::string codeOf(std::string_view body)
{
    constexpr std::string_view kBegin = "<Code>";
    constexpr std::size_t kLongest = 100;
    const std::size_t at = body.find(kBegin);
    if (at == std::string_view::npos)
        return {};
    const std::string_view code = body.substr(at + kBegin.size());
    return toValidUtf8(code.substr(0, std::min(code.find('<'), kLongest)));
}

Error pastErrorOf(const curl::HttpResponse& answer, std::string_view what)
{
    const std::string code = codeOf(answer.body);
    const auto error = [&](ErrorCode kind, std::string_view remedy) {
        return Error{kind, fmt::format("{}: the server's store in S3 says {}{}{}{}", what, answer.status,
                                       code.empty() ? "" : " ", code, remedy)};
    };
    if (code == "QuotaExceeded" || answer.status == 507)
        return error(ErrorCode::Exhausted, "; free space or raise the quota");
    if (answer.status == 401 || answer.status == 403)
        return error(ErrorCode::Denied, "; are the server's credentials for it good, and the clocks right?");
    // 501: it knows no conditions, which the server can do without.
    if (curl::isWorthRetrying(answer.status) || answer.status == 501)
        return error(ErrorCode::Unavailable, "; try again later");
    return error(answer.status == 404 ? ErrorCode::NotFound : ErrorCode::Invalid, "; ask who runs the server");
}

std::optional<Duration> retryAfterOf(const curl::HttpResponse& answer)
{
    const std::string* text = answer.header("retry-after");
    return text == nullptr ? std::nullopt : curl::parseRetryAfter(*text, SystemClock{}.now().wall);
}

} // namespace

RoadClients::RoadClients(const curl::HttpClientOptions& options)
    : quick(watchful(options)), patient(transfer::patient(options))
{}

Road::Road(RoadOptions options, std::shared_ptr<RoadClients> clients)
    : m_options(std::move(options)), m_clients(std::move(clients))
{}

Result<std::string> Road::url(std::string_view path) const
{
    PENSTOCK_TRY(std::string base, httpBase(m_options.server()));
    return base.append(path);
}

void Road::addCredential(curl::Headers& headers) const
{
    if (!m_options.credential.empty())
        headers.emplace_back("Authorization", "Bearer " + m_options.credential);
}

std::string Road::attemptQuery(char first) const
{
    return m_options.attempt ? fmt::format("{}attempt={}", first, *m_options.attempt) : std::string();
}

bool Road::waitBefore(unsigned retry, const IsCancelled& isCancelled,
                      std::optional<Duration> retryAfter) const
{
    if (retry >= m_options.backOff.attempts)
        return false;
    // Spreads those that failed together; no secret hangs on it.
    const auto spread =
        static_cast<std::uint32_t>(SystemClock{}.now().mono.sinceStart.count()) * 2'654'435'761U;
    return curl::pause(curl::delayBefore(m_options.backOff, retry, spread, retryAfter), isCancelled);
}

Result<curl::HttpResponse> Road::ask(curl::HttpRequest request, std::string_view path, std::string_view what,
                                     bool isPatient) const
{
    addCredential(request.headers);
    for (unsigned retry = 1;; ++retry) {
        PENSTOCK_TRY(request.url, url(path));
        auto answer = (isPatient ? m_clients->patient : m_clients->quick).take()->perform(request);
        if (answer && (answer->status / 100 == 2 || answer->status == 404))
            return answer;
        const bool mayHelp =
            answer ? curl::isWorthRetrying(answer->status) : curl::isWorthRetrying(answer.error().code);
        const std::optional<Duration> after = answer ? retryAfterOf(*answer) : std::nullopt;
        if (!mayHelp || !waitBefore(retry, request.isCancelled, after)) {
            if (request.isCancelled && request.isCancelled())
                return fail(ErrorCode::Cancelled, fmt::format("{}: cancelled", what));
            return answer ? fail(errorOf(*answer, what)) : fail(std::move(answer.error()).in(what));
        }
    }
}

Result<std::optional<nix::NarInfo>> Road::info(const nix::StorePath& path,
                                               const IsCancelled& isCancelled) const
{
    curl::HttpRequest request;
    request.maxAnswerBytes = nix::kMaxNarInfoBytes;
    request.isCancelled = isCancelled;
    const std::string what = fmt::format("asking the server for {}", path.baseName());
    PENSTOCK_TRY(const auto answer, ask(std::move(request), fmt::format("/{}.narinfo", path.digest()), what));
    if (answer.status == 404)
        return std::nullopt;
    auto info = nix::parseNarInfo(m_options.storeDir, answer.body, nix::NarInfoKind::WithFile);
    if (!info)
        return fail(std::move(info.error()).in(what));
    if (info->path != path)
        return fail(ErrorCode::Corrupt,
                    fmt::format("{}: it tells of {} instead; let the server's store be checked", what,
                                info->path.baseName()));
    return *std::move(info);
}

Result<std::vector<nix::NarInfo>> Road::closure(const nix::StorePathSet& paths,
                                                const IsCancelled& isCancelled) const
{
    std::vector<nix::NarInfo> closure;
    std::set<nix::StorePath> known;
    const std::vector<nix::StorePath> all(paths.begin(), paths.end());
    for (std::size_t at = 0; at < all.size(); at += kMaxPathsInRequest) {
        const std::size_t count = std::min(kMaxPathsInRequest, all.size() - at);
        const auto first = all.begin() + static_cast<std::ptrdiff_t>(at);
        const std::vector<nix::StorePath> some(first, first + static_cast<std::ptrdiff_t>(count));
        curl::HttpRequest request{.method = "POST"};
        request.headers.emplace_back("Content-Type", "application/json");
        request.text = printPaths(m_options.storeDir, some);
        request.maxAnswerBytes = kMaxClosureBytes;
        request.isCancelled = isCancelled;
        const std::string what = fmt::format("asking the server what {} paths need (first {})", all.size(),
                                             some.front().baseName());
        PENSTOCK_TRY(const auto answer, ask(std::move(request), "/transfer/closure", what));
        if (answer.status == 404)
            return fail(errorOf(answer, what + " (is the server of an older version?)"));
        auto infos = nix::parseNarInfos(m_options.storeDir, answer.body, nix::NarInfoKind::WithFile);
        if (!infos)
            return fail(std::move(infos.error()).in(what));
        for (nix::NarInfo& info : *infos)
            if (known.insert(info.path).second)
                closure.push_back(std::move(info));
        if (closure.size() > kMaxClosurePaths)
            return fail(ErrorCode::Exhausted, fmt::format("{}: more than {} paths", what, kMaxClosurePaths));
    }
    return closure;
}

Result<std::vector<PathPlan>> Road::announce(const std::vector<nix::NarInfo>& infos, bool isDirect,
                                             const IsCancelled& isCancelled) const
{
    std::vector<PathPlan> plans;
    for (auto next = infos.begin(); next != infos.end();) {
        std::vector<nix::NarInfo> some;
        std::size_t bytes = 0;
        for (; next != infos.end() && some.size() < kMaxPathsInRequest; ++next) {
            const std::size_t length = nix::printNarInfo(m_options.storeDir, *next).size() + 1;
            if (!some.empty() && bytes + length > kMaxRequestBytes)
                break;
            bytes += length;
            some.push_back(*next);
        }
        curl::HttpRequest request{.method = "POST"};
        request.headers.emplace_back("Content-Type", "text/x-nix-narinfo");
        request.text = nix::printNarInfos(m_options.storeDir, some);
        request.maxAnswerBytes = kMaxPlanBytes;
        request.isCancelled = isCancelled;
        const std::string query =
            attemptQuery('?') + (isDirect ? (m_options.attempt ? "&direct=1" : "?direct=1") : "");
        const std::string what =
            fmt::format("announcing {} paths (first {})", infos.size(), some.front().path.baseName());
        PENSTOCK_TRY(const auto answer, ask(std::move(request), "/transfer/uploads" + query, what));
        if (answer.status == 404)
            return fail(errorOf(answer, what));
        auto told = parsePlans(m_options.storeDir, answer.body);
        if (!told)
            return fail(std::move(told.error()).in(what));
        if (told->size() != some.size())
            return fail(ErrorCode::Corrupt, fmt::format("{}: {} announced, and the server answers {}", what,
                                                        some.size(), told->size()));
        std::move(told->begin(), told->end(), std::back_inserter(plans));
    }
    return plans;
}

Result<std::string> Road::put(const nix::StorePath& path, const PutOrder& order, Body body,
                              const IsCancelled& isCancelled) const
{
    curl::HttpRequest request{.method = order.method};
    request.headers = order.headers;
    request.url = order.url;
    if (!order.isPastServer()) {
        PENSTOCK_TRY(request.url, url(order.url));
        addCredential(request.headers);
    }
    request.source = std::move(body.source);
    request.size = body.size;
    request.isCancelled = isCancelled;
    const std::string what = fmt::format("sending {}", path.baseName());
    auto answer = m_clients->quick.take()->perform(request);
    if (!answer)
        return fail(std::move(answer.error()).in(what));
    // The same content is there already, of another path or of a former try; the server reads what it is.
    const bool isThere = order.isPastServer() && answer->status == 412;
    if (answer->status / 100 != 2 && !isThere)
        return fail(order.isPastServer() ? pastErrorOf(*answer, what) : errorOf(*answer, what));
    const std::string* etag = answer->header("etag");
    return etag == nullptr ? std::string() : *etag;
}

Result<std::vector<PartOrder>> Road::moreParts(const nix::StorePath& path, const std::string& upload,
                                               const std::vector<unsigned>& numbers,
                                               const IsCancelled& isCancelled) const
{
    curl::HttpRequest request{.method = "POST"};
    request.headers.emplace_back("Content-Type", "application/json");
    request.text = printPartNumbers(m_options.storeDir, path, upload, numbers);
    request.isCancelled = isCancelled;
    const std::string what = fmt::format("asking where parts of {} go", path.baseName());
    PENSTOCK_TRY(const auto answer, ask(std::move(request), "/transfer/parts" + attemptQuery('?'), what));
    if (answer.status == 404)
        return fail(errorOf(answer, what));
    auto parts = parseParts(answer.body);
    if (!parts)
        return fail(std::move(parts.error()).in(what));
    return parts;
}

Result<void> Road::publish(const std::vector<nix::StorePath>& paths, const std::vector<PartsDone>& uploads,
                           const IsCancelled& isCancelled) const
{
    if (paths.empty())
        return {};
    curl::HttpRequest request{.method = "POST"};
    request.headers.emplace_back("Content-Type", "application/json");
    request.text = printPaths(m_options.storeDir, paths, uploads);
    request.isCancelled = isCancelled;
    const std::string what =
        fmt::format("publishing {} paths (first {})", paths.size(), paths.front().baseName());
    PENSTOCK_TRY(const auto answer,
                 ask(std::move(request), "/transfer/publish" + attemptQuery('?'), what, true));
    if (answer.status == 404)
        return fail(errorOf(answer, what));
    const auto published = parsePublished(answer.body);
    if (!published)
        return fail(Error(published.error()).in(what));
    if (*published != paths.size())
        return fail(ErrorCode::Corrupt, fmt::format("{}: the server published {}", what, *published));
    return {};
}

} // namespace penstock::transfer
