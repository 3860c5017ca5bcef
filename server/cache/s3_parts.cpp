// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/s3_parts.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::cache {

std::uint64_t partBytesOf(std::uint64_t firstPartBytes, unsigned number)
{
    constexpr unsigned kPartsOfASize = 1000;
    constexpr std::uint64_t kMaxPartBytes = 5ULL << 30U; // S3's limit
    return std::min(firstPartBytes << ((std::max(number, 1U) - 1) / kPartsOfASize), kMaxPartBytes);
}

Result<std::string> etagOf(const S3Answer& answer, const S3Request& request)
{
    const std::string* const etag = answer.response.header("etag");
    if (etag == nullptr || etag->empty())
        return fail(ErrorCode::Corrupt,
                    fmt::format("S3 answered {} {} without an ETag; is the endpoint an S3 server?",
                                request.method, request.key));
    return *etag;
}

S3Parts::S3Parts(S3Connection& connection, std::string key, std::string upload)
    : m_connection(connection), m_key(std::move(key)), m_upload(std::move(upload))
{}

S3Parts::~S3Parts()
{
    {
        const MutexLock lock(m_mutex);
        m_closing = true;
        m_waiting.clear();
    }
    m_cancel.cancel();
    m_changed.notifyAll();
    for (std::thread& thread : m_threads)
        thread.join();
}

Result<void> S3Parts::submit(unsigned number, std::string bytes)
{
    const S3StoreOptions& options = m_connection.options();
    bool needsThread = false;
    {
        const MutexLock lock(m_mutex);
        // One part may be larger than all memory allowed; then it goes alone.
        while (!m_error && m_open > 0 &&
               (m_open >= options.parallelParts || m_openBytes + bytes.size() > options.memoryBytes))
            m_changed.wait(m_mutex);
        if (m_error)
            return fail(*m_error);
        ++m_open;
        m_openBytes += bytes.size();
        m_waiting.push_back({number, std::move(bytes)});
        needsThread = m_open > m_threads.size();
    }
    if (needsThread)
        m_threads.emplace_back([this] { work(); });
    m_changed.notifyAll();
    return {};
}

Result<std::vector<UploadedPart>> S3Parts::finish()
{
    const MutexLock lock(m_mutex);
    while (!m_error && m_open > 0)
        m_changed.wait(m_mutex);
    if (m_error)
        return fail(*m_error);
    std::ranges::sort(m_done, {}, &UploadedPart::number);
    return m_done;
}

void S3Parts::work()
{
    for (;;) {
        Part part{};
        {
            const MutexLock lock(m_mutex);
            while (m_waiting.empty() && !m_closing)
                m_changed.wait(m_mutex);
            if (m_closing)
                return;
            part = std::move(m_waiting.front());
            m_waiting.pop_front();
        }
        Result<std::string> etag = send(part);
        {
            const MutexLock lock(m_mutex);
            --m_open;
            m_openBytes -= part.bytes.size();
            if (etag)
                m_done.push_back({part.number, *std::move(etag)});
            else if (!m_error)
                m_error = std::move(etag).error();
            if (m_error) {
                m_open -= m_waiting.size();
                m_waiting.clear();
                m_cancel.cancel(); // the others need not go on
            }
        }
        m_changed.notifyAll();
    }
}

Result<std::string> S3Parts::send(const Part& part)
{
    const S3Request request{.method = "PUT",
                            .key = m_key,
                            .query = {{"partNumber", fmt::format("{}", part.number)}, {"uploadId", m_upload}},
                            .body = part.bytes,
                            .isCancelled = [cancel = m_cancel] { return cancel.isCancelled(); }};
    PENSTOCK_TRY(const S3Answer answer, m_connection.call(request));
    if (!answer.isSuccess())
        return fail(m_connection.errorOf(request, answer));
    return etagOf(answer, request);
}

} // namespace penstock::cache
