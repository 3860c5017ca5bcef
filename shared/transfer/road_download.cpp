// SPDX-License-Identifier: GPL-3.0-or-later
// Downloading: the compressed file, as often as it takes, each byte once; decompressed on the way.
#include "shared/base/text.h"
#include "shared/transfer/road.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

namespace penstock::transfer {

// How far a download is.
struct Road::Resume {
    std::uint64_t offset = 0;    // bytes of the file that the sink has
    std::string etag;            // of the first answer
    std::optional<Error> broken; // the sink's: trying again cannot help
};

namespace {

// "nar/HASH.nar.zst": nothing that leads elsewhere.
bool isFileOfCache(std::string_view url)
{
    return !url.empty() && !url.starts_with('/') && url.find("://") == std::string_view::npos &&
           url.find("..") == std::string_view::npos && url.find_first_of("?#\r\n ") == std::string_view::npos;
}

// Where a 206 begins: "bytes 100-199/1000".
std::optional<std::uint64_t> startOf(const curl::HttpResponse& answer)
{
    const std::string* range = answer.header("content-range");
    if (range == nullptr || !range->starts_with("bytes "))
        return std::nullopt;
    const std::string_view numbers = std::string_view(*range).substr(6);
    const auto start = parseUnsigned(numbers.substr(0, numbers.find('-')));
    return start ? std::optional(*start) : std::nullopt;
}

} // namespace

Result<void> Road::readOnce(const nix::NarInfo& info, Resume& resume, const ByteSink& sink,
                            const IsCancelled& isCancelled) const
{
    curl::HttpRequest request;
    PENSTOCK_TRY(request.url, url("/" + info.url));
    addCredential(request.headers);
    if (resume.offset > 0)
        request.headers.emplace_back("Range", fmt::format("bytes={}-", resume.offset));
    request.isCancelled = isCancelled;
    std::uint64_t skip = 0;
    request.onHead = [&](const curl::HttpResponse& head) -> Result<void> {
        if (const std::string* etag = head.header("etag")) {
            if (!resume.etag.empty() && resume.etag != *etag)
                return fail(*(resume.broken = Error{ErrorCode::Unavailable,
                                                    "the file changed while it was read; try again"}));
            resume.etag = *etag;
        }
        if (resume.offset > 0 && head.status == 206 && startOf(head) != resume.offset)
            return fail(
                *(resume.broken = Error{ErrorCode::Corrupt, "the server gave another range than asked for"}));
        skip = head.status == 206 ? 0 : resume.offset; // all of it once more
        return {};
    };
    auto answer = m_clients->quick.take()->perform(request, [&](std::string_view bytes) -> Result<void> {
        const std::size_t known = static_cast<std::size_t>(std::min<std::uint64_t>(skip, bytes.size()));
        skip -= known;
        bytes.remove_prefix(known);
        resume.offset += bytes.size();
        if (info.fileSize && resume.offset > *info.fileSize)
            return fail(
                *(resume.broken = Error{
                      ErrorCode::Corrupt,
                      fmt::format("the file is longer than the {} bytes it should have", *info.fileSize)}));
        auto taken = sink(bytes);
        if (!taken)
            resume.broken = taken.error();
        return taken;
    });
    if (!answer)
        return fail(std::move(answer.error()));
    if (answer->status / 100 == 2)
        return {};
    const auto code = answer->status == 404                            ? ErrorCode::NotFound
                      : answer->status == 401 || answer->status == 403 ? ErrorCode::Denied
                      : curl::isWorthRetrying(answer->status)          ? ErrorCode::Unavailable
                                                                       : ErrorCode::Invalid;
    return fail(code, fmt::format("the server says {}: {}", answer->status, problemText(answer->body)));
}

Result<void> Road::readNar(const nix::NarInfo& info, const ByteSink& nar,
                           const IsCancelled& isCancelled) const
{
    const auto named = [&](Error error) {
        return fail(std::move(error).in(fmt::format("fetching {} from the server", info.path.baseName())));
    };
    if (!isFileOfCache(info.url))
        return named({ErrorCode::Corrupt,
                      fmt::format("its file is said to be at \"{}\", which is not within the cache",
                                  toValidUtf8(std::string_view(info.url).substr(0, 200)))});
    const auto method = compress::parseMethod(info.compression);
    if (!method)
        return named(method.error());
    auto decoder = compress::makeDecoder(*method, info.narSize);
    if (!decoder)
        return named(decoder.error());
    Resume resume;
    const ByteSink decode = [&](std::string_view bytes) { return (*decoder)->push(bytes, nar); };
    unsigned fruitless = 0;
    for (;;) {
        const std::uint64_t before = resume.offset;
        auto outcome = readOnce(info, resume, decode, isCancelled);
        if (outcome)
            break;
        if (resume.broken)
            return named(*std::move(resume.broken));
        if (!curl::isWorthRetrying(outcome.error().code))
            return named(std::move(outcome.error()));
        fruitless = resume.offset > before ? 1 : fruitless + 1;
        if (!waitBefore(fruitless, isCancelled)) {
            if (isCancelled && isCancelled())
                return named({ErrorCode::Cancelled, "cancelled"});
            return named(std::move(outcome.error()));
        }
    }
    if (info.fileSize && resume.offset != *info.fileSize)
        return named({ErrorCode::Corrupt,
                      fmt::format("the file has {} bytes and should have {}; let the server's store "
                                  "be checked",
                                  resume.offset, *info.fileSize)});
    auto whole = (*decoder)->finish(nar);
    return whole ? Result<void>() : named(std::move(whole.error()));
}

} // namespace penstock::transfer
