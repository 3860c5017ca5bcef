// SPDX-License-Identifier: GPL-3.0-or-later
// Reads what `penstock submit` is given: one JSON or TOML object, a JSON array, or JSON lines, and cuts
// batches into requests below the server's limit. Streaming: lines are read one after another, so a batch of
// any length fits. Invalid, naming the line, for what is not JSON; Exhausted for one job above the limit.
#pragma once

#include "shared/base/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::client {

inline constexpr std::size_t kMaxRequestBytes = 1000U << 10U; // the server's limit is 1 MiB
inline constexpr std::size_t kMaxRequestJobs = 2000;

enum class JobFileKind : std::uint8_t { Single, Batch, Toml };
// From the first bytes and the file's name; JSON lines count as Batch.
[[nodiscard]] JobFileKind guessKind(std::string_view name, std::string_view beginning);

// A whole JSON or TOML file with one job → its JSON text.
[[nodiscard]] Result<std::string> singleJob(JobFileKind kind, std::string_view name, std::string_view text);

struct Batch {
    std::string json;                       // an array of jobs
    std::vector<std::uint64_t> lineNumbers; // of each
};

// Collects jobs into batches.
class BatchBuilder {
public:
    // A JSON line, or one element of an array. Gives out the batch that had to be closed to make room.
    [[nodiscard]] Result<std::optional<Batch>> add(std::string_view job, std::uint64_t lineNumber);
    // What is left; nothing when that is empty.
    [[nodiscard]] std::optional<Batch> finish();

private:
    Batch m_batch;
};

// The elements of a JSON array of objects, each as JSON text.
[[nodiscard]] Result<std::vector<std::string>> arrayElements(std::string_view text);

} // namespace penstock::client
