// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/log_source.h"

#include "shared/base/queue.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace penstock::app {
namespace {

constexpr std::uint64_t kSlice = 256U << 10U;

struct Reading {
    std::uint64_t offset = 0;
    std::string bytes;
    std::size_t given = 0;
};

Result<logs::LogSlice> readSlice(logs::LogStore& logs, AttemptId attempt, std::uint64_t offset)
{
    auto answer = std::make_shared<BoundedQueue<Result<logs::LogSlice>>>(1);
    logs.read(attempt, offset, kSlice, [answer](Result<logs::LogSlice> slice) {
        (void)answer->push(std::move(slice));
    });
    return *answer->takeOne();
}

} // namespace

ByteSource logSource(logs::LogStore& logs, AttemptId attempt)
{
    return [&logs, attempt, reading = std::make_shared<Reading>()](std::span<char> out) -> Result<std::size_t> {
        auto& at = *reading;
        while (at.given == at.bytes.size()) {
            PENSTOCK_TRY(const auto slice, readSlice(logs, attempt, at.offset));
            if (slice.records.empty())
                return 0;
            at.bytes.clear();
            at.given = 0;
            for (const auto& record : slice.records)
                if (record.stream != protocol::Stream::System)
                    at.bytes += record.data;
            at.offset = slice.next;
        }
        const auto count = std::min(out.size(), at.bytes.size() - at.given);
        std::copy_n(at.bytes.data() + at.given, count, out.data());
        at.given += count;
        return count;
    };
}

} // namespace penstock::app
