// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/inputs.h"
#include "server/http/render.h"

#include <sodium.h>

namespace penstock::http {
namespace {

constexpr std::uint64_t kMaxLogBytes = 1U << 20U; // in one answer

using Runs = std::vector<store::AttemptView>;

void listOfJob(const Site& site, const Request& request, Respond respond)
{
    const auto id = readId<JobId>(request.params[0], "job");
    if (!id)
        return respond(problem(id.error()));
    store::AttemptFilter filter;
    filter.job = *id;
    const auto after = queryNumber(request, "after", {0, INT64_MAX});
    const auto limit = queryLimit(request, 1'000);
    if (!after || !limit)
        return respond(badQuery(!after ? after.error() : limit.error()));
    if (*after)
        filter.after = AttemptId(**after);
    filter.limit = *limit;
    site.gateway.findJob(*id, [&site, filter, respond = std::move(respond)](Result<store::JobView> job) {
        if (!job)
            return respond(problem(job.error()));
        site.gateway.findAttempts(filter, [respond](Result<Runs> runs) {
            if (!runs)
                return respond(problem(runs.error()));
            JsonWriter out;
            out.beginObject();
            out.key("runs");
            out.beginArray();
            for (const auto& run : *runs)
                writeRun(out, run);
            out.endArray();
            out.endObject();
            respond(json(std::move(out).take()));
        });
    });
}

void show(const Site& site, const Request& request, Respond respond)
{
    const auto id = readId<AttemptId>(request.params[0], "run");
    if (!id)
        return respond(problem(id.error()));
    store::AttemptFilter filter;
    filter.attempt = *id;
    site.gateway.findAttempts(filter, [respond = std::move(respond), id = *id](Result<Runs> runs) {
        if (!runs)
            return respond(problem(runs.error()));
        if (runs->empty())
            return respond(problem(404, fmt::format("no run {}", id.value())));
        JsonWriter out;
        writeRun(out, runs->front());
        respond(json(std::move(out).take()));
    });
}

std::string_view word(feed::LogStream stream)
{
    switch (stream) {
    case feed::LogStream::Out: return "out";
    case feed::LogStream::Err: return "err";
    case feed::LogStream::System: return "system";
    }
    return "out";
}

std::string base64(std::string_view bytes)
{
    std::string out(sodium_base64_ENCODED_LEN(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
    sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                      sodium_base64_VARIANT_ORIGINAL);
    out.pop_back(); // its final NUL
    return out;
}

Reply jsonLog(const feed::LogSlice& slice)
{
    JsonWriter out;
    out.beginObject();
    out.key("records");
    out.beginArray();
    for (const auto& piece : slice.pieces) {
        const bool binary = !isUtf8(piece.data);
        out.beginObject();
        out.field("offset", piece.offset);
        out.fieldTime("time", piece.time);
        out.field("stream", word(piece.stream));
        if (binary)
            out.field("data", std::string_view(base64(piece.data)));
        else
            out.field("data", std::string_view(piece.data));
        out.field("base64", binary);
        out.endObject();
    }
    out.endArray();
    out.field("next", slice.next);
    out.field("size", slice.size);
    out.field("ended", slice.ended && slice.next >= slice.size);
    out.endObject();
    return json(std::move(out).take());
}

Reply textLog(const feed::LogSlice& slice)
{
    std::string body;
    for (const auto& piece : slice.pieces)
        body += piece.data;
    Reply reply{200, "text/plain", std::move(body), {}};
    reply.headers.emplace_back("X-Log-Offset", std::to_string(slice.offset));
    reply.headers.emplace_back("X-Log-Next", std::to_string(slice.next));
    reply.headers.emplace_back("X-Log-Size", std::to_string(slice.size));
    reply.headers.emplace_back("X-Log-Ended", slice.ended && slice.next >= slice.size ? "true" : "false");
    return reply;
}

void showLog(const Site& site, const Request& request, Respond respond)
{
    const auto id = readId<AttemptId>(request.params[0], "run");
    if (!id)
        return respond(problem(id.error()));
    const auto offset = queryNumber(request, "offset", {0, INT64_MAX});
    const auto limit = queryNumber(request, "limit", {1, kMaxLogBytes});
    if (!offset || !limit)
        return respond(badQuery(!offset ? offset.error() : limit.error()));
    const auto format = queryText(request, "format").value_or("text");
    if (format != "text" && format != "json")
        return respond(problem(400, fmt::format("query key \"format\" must be text or json, not \"{}\"",
                                                format.substr(0, 60))));
    site.gateway.readLog(*id, offset->value_or(0), static_cast<std::uint32_t>(limit->value_or(kMaxLogBytes)),
                         [respond = std::move(respond), asJson = format == "json"](Result<feed::LogSlice> slice) {
                             if (!slice)
                                 return respond(problem(slice.error()));
                             respond(asJson ? jsonLog(*slice) : textLog(*slice));
                         });
}

} // namespace

std::vector<Route> runRoutes(const Site& site)
{
    using auth::Action;
    const auto with = [&site](auto function) {
        return [&site, function](const Request& request, Respond respond) {
            function(site, request, std::move(respond));
        };
    };
    return {
        {"GET", "/api/v1/jobs/{}/runs", Action::Watch, {"after", "limit"}, with(listOfJob),
         "the attempts of a job's steps, oldest first"},
        {"GET", "/api/v1/runs/{}", Action::Watch, {}, with(show),
         "one attempt"},
        {"GET", "/api/v1/runs/{}/log", Action::Watch, {"offset", "limit", "format"}, with(showLog),
         "a part of an attempt's log"},
    };
}

} // namespace penstock::http
