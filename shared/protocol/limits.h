// SPDX-License-Identifier: GPL-3.0-or-later
// The limits of every field of the builder link. A value above its limit is Invalid with the field's name, the
// limit and the value; the whole frame is bounded by kMaxFrameBytes besides. Constants only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock::protocol {

inline constexpr std::size_t kMaxNameBytes = 256;         // names, systems, features, tags, users, versions
inline constexpr std::size_t kMaxNames = 256;             // of one kind in one message
inline constexpr std::size_t kMaxPathBytes = 4096;        // store directories and store paths
inline constexpr std::size_t kMaxNoteBytes = 4096;        // reasons and notes for people
inline constexpr std::size_t kMaxErrorBytes = 64U << 10U; // AttemptResult.error
inline constexpr std::size_t kHexIdBytes = 32;            // identity and instance
inline constexpr std::uint32_t kMaxSlots = 4096;
inline constexpr std::uint32_t kMaxCores = 1U << 16U;
inline constexpr std::size_t kMaxHeldAttempts = 100'000;  // also wanted, stopped and stored ids in one message
inline constexpr std::size_t kMaxAssignments = kMaxSlots; // in one Desired
inline constexpr std::size_t kMaxArguments = 16'384;
inline constexpr std::size_t kMaxArgumentBytes = 128U << 10U; // one argument; Linux' MAX_ARG_STRLEN is the same
inline constexpr std::size_t kMaxEnvironment = 4096;
inline constexpr std::size_t kMaxCommandBytes = 1U << 20U; // all arguments and environment together
inline constexpr std::size_t kMaxDrvBytes = 3U << 20U;
inline constexpr std::size_t kMaxInputPaths = 100'000;
inline constexpr std::size_t kMaxOutputs = 1024;
inline constexpr std::size_t kMaxProducts = 1000;
inline constexpr std::size_t kMaxMetrics = 1000;
inline constexpr std::size_t kMaxResultsBytes = 128U << 10U; // NixResults::byteCount(): it is kept for each attempt
inline constexpr std::size_t kSha256Digits = 64;
inline constexpr std::uint32_t kMaxRounds = 1000; // of a build whose results are compared
inline constexpr std::uint64_t kMaxAmount = INT64_MAX; // of a named resource; stored as a signed number
inline constexpr std::size_t kMaxLogRecordBytes = 64U << 10U;
inline constexpr std::size_t kMaxLogChunkBytes = 256U << 10U;
inline constexpr std::size_t kMaxLogRecords = 16'384; // in one chunk
inline constexpr std::uint64_t kMaxWallMicros = 253'402'300'799'999'999; // the end of the year 9999
inline constexpr std::uint64_t kMaxMillis = 10ULL * 366 * 24 * 3600 * 1000; // ten years
inline constexpr std::uint64_t kMaxId = INT64_MAX; // ids are stored as signed 64-bit numbers

} // namespace penstock::protocol
