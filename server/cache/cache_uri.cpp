// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/cache_uri.h"

#include "shared/base/text.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>
#include <utility>

namespace penstock::cache {
namespace {

constexpr std::size_t kMaxUriBytes = 8192;
constexpr std::uint64_t kMinBufferBytes = 5U << 20U;   // S3's smallest part
constexpr std::uint64_t kMaxBufferBytes = 5ULL << 30U; // and its largest
constexpr std::uint64_t kMinExpirySeconds = 60;
constexpr std::uint64_t kMaxExpirySeconds = 86'400;
constexpr std::int64_t kMaxLevel = 1000; // the method's own scale is checked where the encoder is made
constexpr std::uint64_t kMaxPriority = 1'000'000;

using Setter = Result<void> (*)(StoreUri&, std::string_view value);

struct Parameter {
    std::string_view name;
    bool local;
    bool directory;
    bool s3;
    Setter set;
};

Result<void> setText(std::string& to, std::string_view value)
{
    if (value.empty())
        return fail(ErrorCode::Invalid, "it may not be empty");
    to = std::string(value);
    return {};
}

Result<void> setBool(bool& to, std::string_view value)
{
    if (value != "1" && value != "true" && value != "0" && value != "false")
        return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not true, false, 1 or 0", value));
    to = value == "1" || value == "true";
    return {};
}

Result<void> setMethod(compress::Method& to, std::string_view value)
{
    constexpr std::array<std::pair<std::string_view, compress::Method>, 6> kWords{
        {{"none", compress::Method::None},
         {"xz", compress::Method::Xz},
         {"bzip2", compress::Method::Bzip2},
         {"br", compress::Method::Brotli},
         {"zstd", compress::Method::Zstd},
         {"zst", compress::Method::Zstd}}};
    const auto* const found =
        std::find_if(kWords.begin(), kWords.end(), [value](const auto& word) { return word.first == value; });
    if (found == kWords.end())
        return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not none, xz, bzip2, br or zstd", value));
    to = found->second;
    return {};
}

Result<std::uint64_t> numberWithin(Result<std::uint64_t> number, std::uint64_t least, std::uint64_t most)
{
    if (number && (*number < least || *number > most))
        return fail(ErrorCode::Invalid, fmt::format("{} is not within {} and {}", *number, least, most));
    return number;
}

Result<void> setLevel(StoreUri& uri, std::string_view value)
{
    PENSTOCK_TRY(const std::int64_t level, parseSigned(value));
    if (level < -kMaxLevel || level > kMaxLevel)
        return fail(ErrorCode::Invalid,
                    fmt::format("{} is not within {} and {}", level, -kMaxLevel, kMaxLevel));
    // Nix's word for the default of the method.
    uri.compressionLevel = level == -1 ? std::optional<int>() : std::optional<int>(static_cast<int>(level));
    return {};
}

Result<void> setBuffer(StoreUri& uri, std::string_view value)
{
    PENSTOCK_TRY(uri.s3.bufferBytes, numberWithin(parseByteSize(value), kMinBufferBytes, kMaxBufferBytes));
    return {};
}

Result<void> setExpiry(StoreUri& uri, std::string_view value)
{
    PENSTOCK_TRY(const std::uint64_t seconds,
                 numberWithin(parseUnsigned(value), kMinExpirySeconds, kMaxExpirySeconds));
    uri.s3.presignedExpiry = std::chrono::seconds(seconds);
    return {};
}

Result<void> setPriority(StoreUri& uri, std::string_view value)
{
    PENSTOCK_TRY(const std::uint64_t priority, numberWithin(parseUnsigned(value), 0, kMaxPriority));
    uri.priority = static_cast<unsigned>(priority);
    return {};
}

Result<void> setScheme(StoreUri& uri, std::string_view value)
{
    if (value != "http" && value != "https")
        return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not http or https", value));
    uri.s3.scheme = std::string(value);
    return {};
}

Result<void> setEndpoint(StoreUri& uri, std::string_view value)
{
    for (const std::string_view scheme : {"http://", "https://"})
        if (value.starts_with(scheme))
            return fail(ErrorCode::Invalid, fmt::format("give HOST[:PORT] alone, and scheme={}",
                                                        scheme.substr(0, scheme.find(':'))));
    if (value.find_first_of("/?#@ ") != std::string_view::npos)
        return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not HOST[:PORT]", value));
    return setText(uri.s3.endpoint, value);
}

Result<void> setRoot(StoreUri& uri, std::string_view value)
{
    if (!value.starts_with('/'))
        return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not an absolute path", value));
    uri.root = std::string(value);
    return {};
}

Result<void> setStoreDir(StoreUri& uri, std::string_view value)
{
    PENSTOCK_TRY(uri.storeDir, nix::StoreDir::parse(value));
    return {};
}

Result<void> addKeyFile(StoreUri& uri, std::string_view value)
{
    if (!value.starts_with('/'))
        return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not the absolute path of a key file", value));
    uri.secretKeyFiles.emplace_back(value);
    return {};
}

Result<void> addKeyFiles(StoreUri& uri, std::string_view value)
{
    for (const std::string_view file : split(value, ','))
        PENSTOCK_TRY_VOID(addKeyFile(uri, file));
    return value.empty() ? addKeyFile(uri, value) : Result<void>();
}

constexpr auto kParameters = std::to_array<Parameter>({
    {"root", true, false, false, setRoot},
    {"store", true, true, true, setStoreDir},
    {"secret-key", true, true, true, addKeyFile},
    {"secret-keys", true, true, true, addKeyFiles},
    {"priority", true, true, true, setPriority},
    {"want-mass-query", true, true, true, [](StoreUri& u, auto v) { return setBool(u.wantMassQuery, v); }},
    {"compression", false, true, true, [](StoreUri& u, auto v) { return setMethod(u.compression, v); }},
    {"compression-level", false, true, true, setLevel},
    {"parallel-compression", false, true, true,
     [](StoreUri& u, auto v) { return setBool(u.parallelCompression, v); }},
    {"write-nar-listing", false, true, true, [](StoreUri& u, auto v) { return setBool(u.writeListings, v); }},
    {"index-debug-info", false, true, true, [](StoreUri& u, auto v) { return setBool(u.writeDebugInfo, v); }},
    {"write-debug-info", false, true, true, [](StoreUri& u, auto v) { return setBool(u.writeDebugInfo, v); }},
    {"narinfo-compression", false, false, true,
     [](StoreUri& u, auto v) { return setMethod(u.narInfoCompression, v); }},
    {"ls-compression", false, false, true,
     [](StoreUri& u, auto v) { return setMethod(u.listingCompression, v); }},
    {"log-compression", false, false, true,
     [](StoreUri& u, auto v) { return setMethod(u.logCompression, v); }},
    {"region", false, false, true, [](StoreUri& u, auto v) { return setText(u.s3.region, v); }},
    {"scheme", false, false, true, setScheme},
    {"endpoint", false, false, true, setEndpoint},
    {"profile", false, false, true, [](StoreUri& u, auto v) { return setText(u.s3.profile, v); }},
    {"buffer-size", false, false, true, setBuffer},
    {"presigned-url-expiry", false, false, true, setExpiry},
});

bool isFor(const Parameter& parameter, StoreKind kind)
{
    switch (kind) {
    case StoreKind::Local: return parameter.local;
    case StoreKind::Directory: return parameter.directory;
    case StoreKind::S3: return parameter.s3;
    }
    return false;
}

std::string_view nameOf(StoreKind kind)
{
    switch (kind) {
    case StoreKind::Local: return "local";
    case StoreKind::Directory: return "file://";
    case StoreKind::S3: return "s3://";
    }
    return "";
}

Error unknown(std::string_view name, StoreKind kind)
{
    std::vector<std::string_view> names;
    std::vector<std::string> all;
    for (const Parameter& parameter : kParameters)
        if (isFor(parameter, kind)) {
            names.push_back(parameter.name);
            all.emplace_back(parameter.name);
        }
    const bool elsewhere =
        std::any_of(kParameters.begin(), kParameters.end(), [name](const auto& p) { return p.name == name; });
    const std::string_view nearest = nearestWord(name, names);
    std::string text = elsewhere
                           ? fmt::format("the parameter {} is not for {} stores", name, nameOf(kind))
                           : fmt::format("there is no parameter \"{}\" for {} stores", name, nameOf(kind));
    if (!elsewhere && !nearest.empty())
        text += fmt::format("; did you mean {}?", nearest);
    else
        text += fmt::format("; there are {}", join(all, ", "));
    return {ErrorCode::Invalid, std::move(text)};
}

std::optional<unsigned> hexDigit(char letter)
{
    if (letter >= '0' && letter <= '9')
        return static_cast<unsigned>(letter - '0');
    const char lower = static_cast<char>(letter | 0x20);
    if (lower >= 'a' && lower <= 'f')
        return static_cast<unsigned>(lower - 'a' + 10);
    return std::nullopt;
}

Result<std::string> decode(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        char letter = text[i];
        if (letter == '%') {
            const auto high = i + 2 < text.size() ? hexDigit(text[i + 1]) : std::nullopt;
            const auto low = i + 2 < text.size() ? hexDigit(text[i + 2]) : std::nullopt;
            if (!high || !low)
                return fail(ErrorCode::Invalid, fmt::format("\"{}\" has a % without two hex digits", text));
            letter = static_cast<char>(*high * 16 + *low);
            i += 2;
        }
        if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F)
            return fail(ErrorCode::Invalid, "a control character is not allowed");
        out.push_back(letter);
    }
    return out;
}

Result<void> setParameters(StoreUri& uri, std::string_view query)
{
    std::set<std::string> seen;
    for (const std::string_view word : split(query, '&')) {
        const std::size_t equals = word.find('=');
        if (equals == std::string_view::npos)
            return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not NAME=VALUE", word));
        PENSTOCK_TRY(const std::string name, decode(word.substr(0, equals)));
        PENSTOCK_TRY(const std::string value, decode(word.substr(equals + 1)));
        const auto* const parameter =
            std::find_if(kParameters.begin(), kParameters.end(),
                         [&](const auto& p) { return p.name == name && isFor(p, uri.kind); });
        if (parameter == kParameters.end())
            return fail(unknown(name, uri.kind));
        if (!seen.insert(name).second && name != "secret-key")
            return fail(ErrorCode::Invalid, fmt::format("the parameter {} is given twice", name));
        auto done = parameter->set(uri, value);
        if (!done)
            return fail(std::move(done).error().in(fmt::format("parameter {}", name)));
    }
    return {};
}

Result<void> setPlace(StoreUri& uri, std::string_view text)
{
    if (text == "local") {
        uri.kind = StoreKind::Local;
        return {};
    }
    if (text.starts_with("file://")) {
        uri.kind = StoreKind::Directory;
        PENSTOCK_TRY(uri.directory, decode(text.substr(7)));
        if (!uri.directory.starts_with('/'))
            return fail(ErrorCode::Invalid,
                        "the directory has to be absolute, with three slashes: file:///DIR");
        while (uri.directory.size() > 1 && uri.directory.back() == '/')
            uri.directory.pop_back();
        return {};
    }
    if (text.starts_with("s3://")) {
        uri.kind = StoreKind::S3;
        uri.compression = compress::Method::Xz;
        std::string_view bucket = text.substr(5);
        if (bucket.ends_with('/'))
            bucket.remove_suffix(1);
        const bool plain = std::all_of(bucket.begin(), bucket.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                   c == '.' || c == '_';
        });
        if (bucket.size() < 3 || bucket.size() > 255 || !plain)
            return fail(ErrorCode::Invalid,
                        fmt::format("\"{}\" is no name of a bucket: 3 to 255 letters, digits, "
                                    "dots, dashes; no path after it",
                                    bucket));
        uri.s3.bucket = std::string(bucket);
        return {};
    }
    return fail(ErrorCode::Invalid,
                text.starts_with('/')
                    ? fmt::format("it has to be local, file:///DIR or s3://BUCKET; did you mean "
                                  "file://{}?",
                                  text)
                    : std::string("it has to be local, file:///DIR or s3://BUCKET"));
}

} // namespace

Result<StoreUri> parseStoreUri(std::string_view text)
{
    if (text.size() > kMaxUriBytes)
        return fail(ErrorCode::Invalid,
                    fmt::format("the store's URI has {} bytes, the limit is {}", text.size(), kMaxUriBytes));
    StoreUri uri;
    uri.text = std::string(text);
    const std::string context = fmt::format("store \"{}\"", toValidUtf8(text));
    if (text.find('#') != std::string_view::npos)
        return fail(Error{ErrorCode::Invalid, "write %23 for a # in a value"}.in(context));
    const std::size_t question = text.find('?');
    auto done = setPlace(uri, text.substr(0, question));
    if (done && question != std::string_view::npos)
        done = setParameters(uri, text.substr(question + 1));
    if (!done)
        return fail(std::move(done).error().in(context));
    return uri;
}

} // namespace penstock::cache
