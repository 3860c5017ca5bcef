// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/transfer/answers.h"

#include "shared/base/text.h"
#include "shared/nix/json.h"

#include <utility>

#include <fmt/format.h>

namespace penstock::transfer {
namespace {

using nix::JsonValue;

constexpr std::size_t kMaxReasonBytes = 2'000;
constexpr std::size_t kMaxUploadId = 1'024;

tl::unexpected<Error> malformed(std::string_view field, std::string_view what)
{
    return fail(
        ErrorCode::Corrupt,
        fmt::format("the server's answer: {} {}; are server and this program of versions that go together?",
                    field, what));
}

Result<std::string> text(const JsonValue& from, std::string_view field, std::size_t limit)
{
    const JsonValue* value = from.member(field);
    const std::string* found = value == nullptr ? nullptr : value->asString();
    if (found == nullptr)
        return malformed(field, "is missing or no text");
    if (found->size() > limit)
        return malformed(field, fmt::format("has {} bytes, the limit is {}", found->size(), limit));
    return *found;
}

Result<std::uint64_t> number(const JsonValue& from, std::string_view field)
{
    const JsonValue* value = from.member(field);
    const JsonValue::Number* found = value == nullptr ? nullptr : value->asNumber();
    const auto parsed =
        found == nullptr ? Result<std::uint64_t>(fail(ErrorCode::Invalid, "")) : parseUnsigned(found->text);
    if (!parsed)
        return malformed(field, "is missing or no whole number");
    return *parsed;
}

Result<const JsonValue::Array*> list(const JsonValue& from, std::string_view field, std::size_t limit)
{
    const JsonValue* value = from.member(field);
    const JsonValue::Array* found = value == nullptr ? nullptr : value->asArray();
    if (found == nullptr)
        return malformed(field, "is missing or no list");
    if (found->size() > limit)
        return malformed(field, fmt::format("has {} entries, the limit is {}", found->size(), limit));
    return found;
}

Result<JsonValue> document(std::string_view json)
{
    auto parsed = nix::parseJson(json);
    if (!parsed)
        return fail(std::move(parsed.error()).in("the server's answer"));
    return parsed;
}

Result<PutOrder> readPut(const JsonValue& from)
{
    PutOrder put;
    PENSTOCK_TRY(put.url, text(from, "url", kMaxUrlBytes));
    const bool isAbsolute = put.url.starts_with("http://") || put.url.starts_with("https://");
    if (!isAbsolute && (!put.url.starts_with('/') || put.url.starts_with("//")))
        return malformed("url", "is neither a path on the server nor http(s)://…");
    if (from.member("method") != nullptr) {
        PENSTOCK_TRY(put.method, text(from, "method", 16));
    }
    if (put.method != "PUT" && put.method != "POST")
        return malformed("method", fmt::format("is \"{}\", must be PUT or POST", put.method));
    const JsonValue* headers = from.member("headers");
    if (headers == nullptr)
        return put;
    const JsonValue::Object* members = headers->asObject();
    if (members == nullptr || members->size() > kMaxPutHeaders)
        return malformed("headers", fmt::format("is no object of at most {} members", kMaxPutHeaders));
    for (const auto& [name, value] : *members) {
        if (value.asString() == nullptr || value.asString()->size() > kMaxUrlBytes)
            return malformed("headers", "has a value that is no text, or too long");
        put.headers.emplace_back(name, *value.asString());
    }
    return put;
}

Result<std::vector<PartOrder>> readParts(const JsonValue& from)
{
    PENSTOCK_TRY(const auto* urls, list(from, "urls", kMaxParts));
    std::vector<PartOrder> parts;
    for (const JsonValue& each : *urls) {
        PENSTOCK_TRY(const std::uint64_t index, number(each, "number"));
        if (index == 0 || index > kMaxParts)
            return malformed("number", fmt::format("is {}, must be 1 to {}", index, kMaxParts));
        PENSTOCK_TRY(auto put, readPut(each));
        parts.push_back({static_cast<unsigned>(index), std::move(put)});
    }
    return parts;
}

Result<compress::EncoderOptions> readEncoding(const JsonValue& from)
{
    compress::EncoderOptions encoding;
    PENSTOCK_TRY(const std::string word, text(from, "compression", 16));
    PENSTOCK_TRY(encoding.method, compress::parseMethod(word));
    const JsonValue* level = from.member("level");
    const JsonValue::Number* digits = level == nullptr ? nullptr : level->asNumber();
    if (digits == nullptr)
        return encoding;
    const auto parsed = parseSigned(digits->text);
    if (!parsed || *parsed < -1'000 || *parsed > 1'000)
        return malformed("level", fmt::format("is {}, which no method has", digits->text));
    encoding.level = static_cast<int>(*parsed);
    return encoding;
}

Result<void> readWanted(const JsonValue& from, PathPlan& plan)
{
    if (const JsonValue* put = from.member("put")) {
        PENSTOCK_TRY(plan.encoding, readEncoding(*put));
        PENSTOCK_TRY(plan.put, readPut(*put));
        return {};
    }
    const JsonValue* parts = from.member("parts");
    if (parts == nullptr)
        return malformed("put", "is missing, and parts too");
    PartsOrder order;
    PENSTOCK_TRY(plan.encoding, readEncoding(*parts));
    PENSTOCK_TRY(order.upload, text(*parts, "upload", kMaxUploadId));
    PENSTOCK_TRY(order.partBytes, number(*parts, "part_size"));
    if (order.partBytes == 0 || order.partBytes > kMaxPartBytes)
        return malformed("part_size", fmt::format("is {}, must be 1 to {}", order.partBytes, kMaxPartBytes));
    PENSTOCK_TRY(order.parts, readParts(*parts));
    plan.parts = std::move(order);
    return {};
}

Result<PathPlan> readPlan(const nix::StoreDir& dir, const JsonValue& from)
{
    PENSTOCK_TRY(const std::string path, text(from, "path", nix::kMaxStoreDirLength + 256));
    auto parsed = nix::StorePath::parse(dir, path);
    if (!parsed)
        return malformed("path", parsed.error().message);
    PENSTOCK_TRY(const std::string state, text(from, "state", 16));
    PathPlan plan{*std::move(parsed), PathState::Present};
    if (state == "wanted") {
        plan.state = PathState::Wanted;
        PENSTOCK_TRY_VOID(readWanted(from, plan));
    } else if (state == "refused") {
        plan.state = PathState::Refused;
        PENSTOCK_TRY(plan.reason, text(from, "reason", kMaxReasonBytes));
    } else if (state != "present") {
        return malformed("state", fmt::format("is \"{}\", must be present, wanted or refused", state));
    }
    return plan;
}

// Store paths and upload ids hold nothing but printable characters; the two that JSON cares about are
// escaped.
std::string quoted(std::string_view text)
{
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            out += '\\';
        if (static_cast<unsigned char>(c) < 0x20U)
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        else
            out += c;
    }
    return out + '"';
}

} // namespace

Result<std::string> httpBase(std::string_view serverUrl)
{
    const std::size_t colon = serverUrl.find("://");
    const std::string_view scheme = serverUrl.substr(0, colon);
    const bool isPlain = scheme == "ws" || scheme == "http";
    std::string_view host;
    if (colon != std::string_view::npos && (isPlain || scheme == "wss" || scheme == "https"))
        host = serverUrl.substr(colon + 3, serverUrl.find_first_of("/?#", colon + 3) - colon - 3);
    if (host.empty() || host.find('@') != std::string_view::npos)
        return fail(
            ErrorCode::Invalid,
            fmt::format("server is \"{}\", must be ws(s)://HOST:PORT or http(s)://HOST:PORT", serverUrl));
    return fmt::format("{}://{}", isPlain ? "http" : "https", host);
}

Result<std::vector<PathPlan>> parsePlans(const nix::StoreDir& dir, std::string_view json)
{
    PENSTOCK_TRY(const JsonValue answer, document(json));
    PENSTOCK_TRY(const auto* paths, list(answer, "paths", kMaxPathsInRequest));
    std::vector<PathPlan> plans;
    plans.reserve(paths->size());
    for (const JsonValue& each : *paths) {
        PENSTOCK_TRY(auto plan, readPlan(dir, each));
        plans.push_back(std::move(plan));
    }
    return plans;
}

Result<std::vector<PartOrder>> parseParts(std::string_view json)
{
    PENSTOCK_TRY(const JsonValue answer, document(json));
    return readParts(answer);
}

Result<std::size_t> parsePublished(std::string_view json)
{
    PENSTOCK_TRY(const JsonValue answer, document(json));
    PENSTOCK_TRY(const auto* paths, list(answer, "published", kMaxPathsInRequest));
    return paths->size();
}

std::string problemText(std::string_view body)
{
    const auto parsed = nix::parseJson(body);
    const JsonValue* detail = parsed ? parsed->member("detail") : nullptr;
    const std::string* found = detail == nullptr ? nullptr : detail->asString();
    const std::string_view told = found != nullptr ? std::string_view(*found) : trim(body);
    return toValidUtf8(told.substr(0, kMaxReasonBytes));
}

std::string printPaths(const nix::StoreDir& dir, const std::vector<nix::StorePath>& paths,
                       const std::vector<PartsDone>& uploads)
{
    std::string out = "{\"paths\":[";
    for (const nix::StorePath& path : paths)
        out.append(out.ends_with('[') ? "" : ",").append(quoted(path.print(dir)));
    out += ']';
    if (!uploads.empty())
        out += ",\"uploads\":{";
    for (const PartsDone& done : uploads) {
        out.append(out.ends_with('{') ? "" : ",").append(quoted(done.path.print(dir)));
        out.append(":{\"upload\":").append(quoted(done.upload)).append(",\"etags\":[");
        for (const std::string& etag : done.etags)
            out.append(out.ends_with('[') ? "" : ",").append(quoted(etag));
        out += "]}";
    }
    return out + (uploads.empty() ? "}" : "}}");
}

std::string printPartNumbers(const nix::StoreDir& dir, const nix::StorePath& path, std::string_view upload,
                             const std::vector<unsigned>& numbers)
{
    return fmt::format("{{\"path\":{},\"upload\":{},\"numbers\":[{}]}}", quoted(path.print(dir)),
                       quoted(upload), fmt::join(numbers, ","));
}

} // namespace penstock::transfer
