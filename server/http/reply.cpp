// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/reply.h"

#include "server/http/json_writer.h"
#include "shared/base/text.h"

#include <fmt/format.h>

#include <iterator>

namespace penstock::http {

std::string_view reasonPhrase(unsigned status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 507: return "Insufficient Storage";
    default: return "Unknown";
    }
}

Reply json(std::string body, unsigned status)
{
    return {status, "application/json", std::move(body), {}};
}

Reply text(std::string body, unsigned status)
{
    return {status, "text/plain; charset=utf-8", std::move(body), {}};
}

Reply problem(unsigned status, std::string_view detail)
{
    JsonWriter out;
    out.beginObject();
    out.field("type", "about:blank");
    out.field("title", reasonPhrase(status));
    out.field("status", status);
    out.field("detail", detail);
    out.endObject();
    Reply reply{status, "application/problem+json", std::move(out).take(), {}};
    if (status == 401)
        reply.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"penstock\"");
    if (status == 429 || status == 503)
        reply.headers.emplace_back("Retry-After", "1");
    return reply;
}

unsigned statusOf(ErrorCode code)
{
    switch (code) {
    case ErrorCode::Invalid: return 422;
    case ErrorCode::NotFound: return 404;
    case ErrorCode::Denied: return 403;
    case ErrorCode::Conflict: return 409;
    case ErrorCode::Exhausted: return 429;
    case ErrorCode::Unavailable:
    case ErrorCode::Timeout:
    case ErrorCode::Cancelled: return 503;
    case ErrorCode::Corrupt:
    case ErrorCode::Internal: return 500;
    }
    return 500;
}

Reply bodyProblem(const Error& error)
{
    return problem(error.code == ErrorCode::Corrupt ? 400 : 422, error.message);
}

Reply problem(const Error& error)
{
    return problem(statusOf(error.code), error.message);
}

namespace {

bool hasHeader(const Reply& reply, std::string_view wanted)
{
    for (const auto& [name, value] : reply.headers) {
        if (name == wanted)
            return true;
    }
    return false;
}

void writeHead(std::string& out, const Reply& reply, std::string_view framing, bool close)
{
    fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", reply.status, reasonPhrase(reply.status));
    if (!reply.type.empty())
        fmt::format_to(std::back_inserter(out), "Content-Type: {}\r\n", reply.type);
    out += framing;
    // Job output and names come from strangers: a browser must not guess them to be a page.
    out += "X-Content-Type-Options: nosniff\r\n";
    if (!hasHeader(reply, "Cache-Control"))
        out += "Cache-Control: no-store\r\n";
    for (const auto& [name, value] : reply.headers)
        fmt::format_to(std::back_inserter(out), "{}: {}\r\n", name, value);
    out += close ? "Connection: close\r\n\r\n" : "\r\n";
}

} // namespace

std::string renderReply(const Reply& reply, bool close, bool headOnly)
{
    std::string out;
    out.reserve(256 + (headOnly ? 0 : reply.body.size()));
    const bool bodiless = reply.status == 304 || reply.status == 204; // these may not have a length (RFC 9110 8.6)
    const auto framing = bodiless ? std::string() : fmt::format("Content-Length: {}\r\n", reply.body.size());
    writeHead(out, reply, framing, close);
    if (!headOnly && !bodiless)
        out += reply.body;
    return out;
}

std::string renderHead(const Reply& reply, bool close, bool chunked)
{
    std::string out;
    std::string framing;
    if (reply.stream->size)
        framing = fmt::format("Content-Length: {}\r\n", *reply.stream->size);
    else if (chunked)
        framing = "Transfer-Encoding: chunked\r\n";
    writeHead(out, reply, framing, close);
    return out;
}

} // namespace penstock::http
