// SPDX-License-Identifier: GPL-3.0-or-later
// Store paths between the server and its builders and clients: what a path needs, what is wanted, a NAR, publication.
#include "server/http/inputs.h"
#include "server/http/json_writer.h"
#include "server/jobs/object_reader.h"
#include "server/transfer/transfer_desk.h"

#include <algorithm>
#include <array>
#include <set>

namespace penstock::http {
namespace {

constexpr std::size_t kMaxPaths = 5'000; // in one request
constexpr std::size_t kMaxPathBytes = 2'048;
constexpr std::size_t kMaxParts = 10'000;
constexpr std::size_t kMaxTagBytes = 1'024;

// Who sends. An attempt's outputs are taken by its own grant only: a token says nothing about what a machine runs.
Result<transfer::Sender> senderOf(const Request& request)
{
    PENSTOCK_TRY(const auto attempt, queryNumber(request, "attempt", {1, INT64_MAX}));
    if (request.who.attempt) {
        if (attempt && *attempt != request.who.attempt->value())
            return fail(ErrorCode::Denied, fmt::format("the grant is for attempt {}, not for attempt {}",
                                                       request.who.attempt->value(), *attempt));
        return transfer::Sender{request.who.attempt, {}};
    }
    if (attempt)
        return fail(ErrorCode::Denied,
                    fmt::format("uploads for attempt {} need its grant as the bearer token; without attempt= what is "
                                "content-addressed or signed by a trusted key is taken from anybody who may upload",
                                *attempt));
    return transfer::Sender{std::nullopt, request.who.credential};
}

Result<nix::StorePathSet> readPaths(const Site& site, const jobs::ObjectReader& body, std::string_view key)
{
    PENSTOCK_TRY(const auto texts, body.texts(key, kMaxPaths, kMaxPathBytes));
    nix::StorePathSet paths;
    for (const auto& text : texts) {
        PENSTOCK_TRY(auto path, nix::StorePath::parse(site.desk->storeDir(), text));
        paths.insert(std::move(path));
    }
    return paths;
}

// ----------------------------------------------------------------------------------------------------- closure

void closure(const Site& site, const Request& request, Respond respond)
{
    constexpr std::array<std::string_view, 1> kKeys{"paths"};
    const auto paths = [&]() -> Result<nix::StorePathSet> {
        PENSTOCK_TRY(const auto document, nix::parseJson(request.body));
        PENSTOCK_TRY(const auto body, jobs::ObjectReader::open(document, {}, kKeys));
        return readPaths(site, body, "paths");
    }();
    if (!paths)
        return respond(bodyProblem(paths.error()));
    auto produce = [desk = site.desk, paths = *paths](const ByteSink& sink) { return desk->writeClosure(paths, sink); };
    auto stream = std::make_shared<const BodyStream>(BodyStream{std::nullopt, std::move(produce)});
    respond({200, "text/x-nix-narinfo", {}, {}, std::move(stream)});
}

// --------------------------------------------------------------------------------------------------- announcing

// The characters of store names that mean something else in an address.
std::string escaped(std::string_view baseName)
{
    std::string out;
    for (const char c : baseName)
        out += c == '?' ? std::string("%3F") : std::string(1, c);
    return out;
}

void writeRequest(JsonWriter& out, const cache::SignedRequest& request)
{
    out.field("url", std::string_view(request.url));
    out.field("method", std::string_view(request.method));
    out.key("headers");
    out.beginObject();
    for (const auto& [name, value] : request.headers)
        out.field(name, std::string_view(value));
    out.endObject();
}

void writeEncoding(JsonWriter& out, const compress::EncoderOptions& encoding)
{
    out.field("compression", compress::toString(encoding.method));
    out.key("level");
    if (encoding.level)
        out.value(*encoding.level);
    else
        out.null();
}

void writeParts(JsonWriter& out, const std::vector<transfer::SignedPart>& parts)
{
    out.key("urls");
    out.beginArray();
    for (const auto& part : parts) {
        out.beginObject();
        out.field("number", part.number);
        writeRequest(out, part.request);
        out.endObject();
    }
    out.endArray();
}

void writeWanted(JsonWriter& out, const transfer::UploadPlan& plan, const transfer::Sender& sender)
{
    if (plan.parts) {
        out.key("parts");
        out.beginObject();
        out.field("upload", std::string_view(plan.parts->upload));
        out.field("part_size", plan.parts->partBytes);
        writeEncoding(out, plan.encoding);
        writeParts(out, plan.parts->parts);
        out.endObject();
        return;
    }
    cache::SignedRequest request{"PUT", {}, {}};
    const auto attempt = sender.attempt ? fmt::format("attempt={}&", sender.attempt->value()) : std::string();
    request.url = fmt::format("/transfer/nar/{}?{}compression={}", escaped(plan.path.baseName()), attempt,
                              compress::toString(plan.encoding.method));
    out.key("put");
    out.beginObject();
    writeRequest(out, plan.past ? *plan.past : request);
    writeEncoding(out, plan.encoding);
    out.endObject();
}

Reply plansReply(const nix::StoreDir& dir, const transfer::Sender& sender,
                 const std::vector<transfer::UploadPlan>& plans)
{
    JsonWriter out;
    out.beginObject();
    out.key("paths");
    out.beginArray();
    for (const auto& plan : plans) {
        out.beginObject();
        out.field("path", std::string_view(plan.path.print(dir)));
        switch (plan.state) {
        case transfer::UploadState::Present: out.field("state", "present"); break;
        case transfer::UploadState::Wanted:
            out.field("state", "wanted");
            writeWanted(out, plan, sender);
            break;
        case transfer::UploadState::Refused:
            out.field("state", "refused");
            out.field("reason", std::string_view(plan.reason));
            break;
        }
        out.endObject();
    }
    out.endArray();
    out.endObject();
    return json(std::move(out).take());
}

void announce(const Site& site, const Request& request, Respond respond)
{
    const auto sender = senderOf(request);
    const auto direct = queryNumber(request, "direct", {0, 1});
    if (!sender || !direct)
        return respond(badQuery(!sender ? sender.error() : direct.error()));
    const auto& dir = site.desk->storeDir();
    auto infos = nix::parseNarInfos(dir, request.body, nix::NarInfoKind::WithoutFile);
    if (!infos)
        return respond(problem(422, infos.error().message));
    if (infos->size() > kMaxPaths)
        return respond(problem(422, fmt::format("{} paths are announced, the limit is {}; announce fewer at once",
                                                infos->size(), kMaxPaths)));
    std::set<nix::StorePath> seen;
    for (const auto& info : *infos) {
        if (!seen.insert(info.path).second)
            return respond(problem(422, fmt::format("{} is announced twice; announce it once", info.path.print(dir))));
    }
    site.desk->announce({*sender, *std::move(infos), direct->value_or(0) == 1},
                        [&dir, sender = *sender, respond = std::move(respond)](
                            const Result<std::vector<transfer::UploadPlan>>& plans) {
                            respond(plans ? plansReply(dir, sender, *plans) : problem(plans.error()));
                        });
}

// -------------------------------------------------------------------------------------------------- NARs, parts

Reply uploadProblem(const Error& error)
{
    switch (error.code) {
    case ErrorCode::Corrupt: return problem(422, error.message);
    case ErrorCode::Exhausted: return problem(507, error.message);
    case ErrorCode::Invalid:
    case ErrorCode::NotFound:
    case ErrorCode::Denied:
    case ErrorCode::Conflict:
    case ErrorCode::Unavailable:
    case ErrorCode::Timeout:
    case ErrorCode::Cancelled:
    case ErrorCode::Internal: return problem(error);
    }
    return problem(error);
}

void receive(const Site& site, const Request& request, const std::shared_ptr<BodyPipe>& body, Respond respond)
{
    const auto sender = senderOf(request);
    if (!sender)
        return respond(badQuery(sender.error()));
    const auto path = nix::StorePath::fromBaseName(request.params[0]);
    if (!path)
        return respond(problem(404, path.error().message));
    const auto word = queryText(request, "compression");
    if (!word)
        return respond(problem(400, "query key \"compression\" is missing; say how the body is compressed, such as "
                                    "zstd or none"));
    const auto method = compress::parseMethod(*word);
    if (!method)
        return respond(problem(400, method.error().message));
    site.desk->receive({*sender, *path, *method, [body] { return body->next(); }},
                       [respond = std::move(respond), name = path->print(site.desk->storeDir())](
                           const Result<void>& taken) {
                           if (!taken)
                               return respond(uploadProblem(taken.error()));
                           JsonWriter out;
                           out.beginObject();
                           out.field("path", std::string_view(name));
                           out.endObject();
                           respond(json(std::move(out).take(), 201));
                       });
}

Result<std::vector<unsigned>> readNumbers(const jobs::ObjectReader& body)
{
    const auto* value = body.find("numbers");
    const auto* list = value == nullptr ? nullptr : value->asArray();
    if (list == nullptr || list->empty() || list->size() > 1'000)
        return body.refuse("numbers", "must be a list of 1 to 1000 part numbers");
    std::vector<unsigned> numbers;
    for (const auto& each : *list) {
        const auto* text = each.asNumber();
        const auto number = text == nullptr ? fail(ErrorCode::Invalid, "") : parseUnsigned(text->text);
        if (!number || *number == 0 || *number > kMaxParts)
            return body.refuse("numbers", fmt::format("must hold whole numbers from 1 to {}", kMaxParts));
        numbers.push_back(static_cast<unsigned>(*number));
    }
    return numbers;
}

void moreParts(const Site& site, const Request& request, Respond respond)
{
    const auto sender = senderOf(request);
    if (!sender)
        return respond(badQuery(sender.error()));
    constexpr std::array<std::string_view, 3> kKeys{"path", "upload", "numbers"};
    struct Question {
        nix::StorePath path;
        std::vector<unsigned> numbers;
    };
    auto question = [&]() -> Result<Question> {
        PENSTOCK_TRY(const auto document, nix::parseJson(request.body));
        PENSTOCK_TRY(const auto body, jobs::ObjectReader::open(document, {}, kKeys));
        PENSTOCK_TRY(const auto text, body.text("path", kMaxPathBytes));
        PENSTOCK_TRY(auto path, nix::StorePath::parse(site.desk->storeDir(), text.value_or("")));
        PENSTOCK_TRY(auto numbers, readNumbers(body));
        return Question{std::move(path), std::move(numbers)};
    }();
    if (!question)
        return respond(bodyProblem(question.error()));
    site.desk->moreParts(*sender, question->path, std::move(question->numbers),
                         [respond = std::move(respond)](const Result<std::vector<transfer::SignedPart>>& parts) {
                             if (!parts)
                                 return respond(uploadProblem(parts.error()));
                             JsonWriter out;
                             out.beginObject();
                             writeParts(out, *parts);
                             out.endObject();
                             respond(json(std::move(out).take()));
                         });
}

// -------------------------------------------------------------------------------------------------- publication

Result<void> readUploads(const Site& site, const jobs::ObjectReader& body,
                         std::vector<transfer::Publication>& publications)
{
    const auto* value = body.find("uploads");
    if (value == nullptr)
        return {};
    constexpr std::array<std::string_view, 2> kKeys{"upload", "etags"};
    PENSTOCK_TRY(const auto uploads, jobs::ObjectReader::openAny(*value, body.pathOf("uploads")));
    for (const auto& key : uploads.keys()) {
        PENSTOCK_TRY(const auto path, nix::StorePath::parse(site.desk->storeDir(), key));
        const auto* each = uploads.find(key);
        if (each == nullptr)
            continue;
        PENSTOCK_TRY(const auto upload, jobs::ObjectReader::open(*each, uploads.pathOf(key), kKeys));
        PENSTOCK_TRY(const auto id, upload.text("upload", kMaxTagBytes));
        PENSTOCK_TRY(const auto tags, upload.texts("etags", kMaxParts, kMaxTagBytes));
        const auto found = std::ranges::find_if(publications, [&](const auto& one) { return one.path == path; });
        if (found == publications.end())
            return uploads.refuse(key, "is not among paths");
        found->upload = id.value_or("");
        for (unsigned number = 1; const auto& tag : tags)
            found->parts.push_back({number++, tag});
    }
    return {};
}

void publish(const Site& site, const Request& request, Respond respond)
{
    const auto sender = senderOf(request);
    if (!sender)
        return respond(badQuery(sender.error()));
    constexpr std::array<std::string_view, 2> kKeys{"paths", "uploads"};
    std::vector<std::string> names;
    auto publications = [&]() -> Result<std::vector<transfer::Publication>> {
        PENSTOCK_TRY(const auto document, nix::parseJson(request.body));
        PENSTOCK_TRY(const auto body, jobs::ObjectReader::open(document, {}, kKeys));
        PENSTOCK_TRY(const auto paths, readPaths(site, body, "paths"));
        std::vector<transfer::Publication> all;
        for (const auto& path : paths) {
            names.push_back(path.print(site.desk->storeDir()));
            all.push_back({path});
        }
        PENSTOCK_TRY_VOID(readUploads(site, body, all));
        return all;
    }();
    if (!publications)
        return respond(bodyProblem(publications.error()));
    site.desk->publish(*sender, *std::move(publications),
                       [respond = std::move(respond), names = std::move(names)](const Result<void>& published) {
                           if (!published)
                               return respond(uploadProblem(published.error()));
                           JsonWriter out;
                           out.beginObject();
                           out.fieldList("published", names);
                           out.endObject();
                           respond(json(std::move(out).take()));
                       });
}

constexpr std::string_view kPathsBody =
    R"({"type":"object","required":["paths"],"properties":{"paths":{"type":"array","maxItems":5000,)"
    R"("items":{"type":"string"}}}})";

} // namespace

std::vector<Route> transferRoutes(const Site& site)
{
    using auth::Action;
    const auto with = [&site](auto function) {
        return [&site, function](const Request& request, Respond respond) {
            function(site, request, std::move(respond));
        };
    };
    RouteTraits streamed{.anyType = true, .slow = true};
    streamed.receive = [&site](const Request& request, const std::shared_ptr<BodyPipe>& body, Respond respond) {
        receive(site, request, body, std::move(respond));
    };
    return {
        {"POST", "/transfer/closure", Action::Fetch, {}, with(closure),
         "narinfos of all that store paths need at run time, references first", kPathsBody, {.slow = true}},
        {"POST", "/transfer/uploads", Action::Upload, {"attempt", "direct"}, with(announce),
         "announces store paths by their narinfos; says which are wanted, and how", {}, {.anyType = true}},
        {"PUT", "/transfer/nar/{}", Action::Upload, {"attempt", "compression"}, {}, "brings an announced store path",
         {}, std::move(streamed)},
        {"POST", "/transfer/parts", Action::Upload, {"attempt"}, with(moreParts),
         "addresses for more parts of an upload past the server"},
        {"POST", "/transfer/publish", Action::Upload, {"attempt"}, with(publish),
         "verifies, signs and shows what was brought", kPathsBody, {.slow = true}},
    };
}

} // namespace penstock::http
