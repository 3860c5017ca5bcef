// SPDX-License-Identifier: GPL-3.0-or-later
// S3Parts: sends the parts of one upload by a few threads of its own, each part held in memory until S3 has
// confirmed it. One thread submits; it blocks while enough is on its way. The first part that fails for good
// ends all.
#pragma once

#include "server/cache/object_store.h"
#include "server/cache/s3_connection.h"
#include "shared/base/cancel.h"
#include "shared/base/mutex.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace penstock::cache {

inline constexpr unsigned kMaxParts = 10'000; // S3's limit

// Parts double after every 1000, so that 10,000 hold S3's largest object (5 TiB of 8 MiB first parts), while
// an object of 8 GB never needs more than first-size parts.
[[nodiscard]] std::uint64_t partBytesOf(std::uint64_t firstPartBytes, unsigned number);

// The ETag of an UploadPart's answer, or Corrupt.
[[nodiscard]] Result<std::string> etagOf(const S3Answer& answer, const S3Request& request);

class S3Parts {
public:
    S3Parts(S3Connection& connection, std::string key, std::string upload);
    ~S3Parts(); // ends what is on its way within about a second
    S3Parts(const S3Parts&) = delete;
    S3Parts& operator=(const S3Parts&) = delete;

    // The error of an earlier part, if any.
    [[nodiscard]] Result<void> submit(unsigned number, std::string bytes);
    // Waits for all; in the order of their numbers.
    [[nodiscard]] Result<std::vector<UploadedPart>> finish();
    [[nodiscard]] const std::string& upload() const { return m_upload; }

private:
    struct Part {
        unsigned number;
        std::string bytes;
    };
    void work();
    [[nodiscard]] Result<std::string> send(const Part& part);

    S3Connection& m_connection;
    const std::string m_key;
    const std::string m_upload;
    const CancelToken m_cancel;
    std::vector<std::thread> m_threads;

    Mutex m_mutex;
    Condition m_changed;
    std::deque<Part> m_waiting PENSTOCK_GUARDED_BY(m_mutex);
    std::size_t m_open PENSTOCK_GUARDED_BY(m_mutex) = 0; // waiting or being sent
    std::uint64_t m_openBytes PENSTOCK_GUARDED_BY(m_mutex) = 0;
    bool m_closing PENSTOCK_GUARDED_BY(m_mutex) = false;
    std::optional<Error> m_error PENSTOCK_GUARDED_BY(m_mutex);
    std::vector<UploadedPart> m_done PENSTOCK_GUARDED_BY(m_mutex);
};

} // namespace penstock::cache
