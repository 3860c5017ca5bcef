// SPDX-License-Identifier: GPL-3.0-or-later
// ObjectReader: reads one JSON object member by member, each with its rule, and names the member's path in every
// error ("jobs[0].affinity.os: …"). A null member counts as absent. Pure; borrows the value it reads.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/nix/json.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::jobs {

struct Span {
    std::uint64_t least;
    std::uint64_t most;
};

class ObjectReader {
public:
    // Invalid: not an object, a key given twice, a key that is not among the known ones.
    [[nodiscard]] static Result<ObjectReader> open(const nix::JsonValue& value, std::string path,
                                                   std::span<const std::string_view> known);

    // The same for an object whose keys are names that people choose.
    [[nodiscard]] static Result<ObjectReader> openAny(const nix::JsonValue& value, std::string path);

    [[nodiscard]] std::vector<std::string> keys() const;           // as written, null ones too
    [[nodiscard]] bool isNull(std::string_view key) const;         // written as null, not left out
    [[nodiscard]] const nix::JsonValue* find(std::string_view key) const; // null when absent or null
    [[nodiscard]] std::string pathOf(std::string_view key) const;
    [[nodiscard]] tl::unexpected<Error> refuse(std::string_view key, std::string_view what) const;

    [[nodiscard]] Result<std::optional<std::string>> text(std::string_view key, std::size_t maxBytes) const;
    // Text made of the characters of names: see isWord.
    [[nodiscard]] Result<std::optional<std::string>> word(std::string_view key, std::size_t maxBytes) const;
    [[nodiscard]] Result<std::optional<std::int64_t>> integer(std::string_view key, std::int64_t least,
                                                              std::int64_t most) const;
    [[nodiscard]] Result<std::optional<double>> number(std::string_view key, double least, double most) const;
    [[nodiscard]] Result<std::optional<bool>> flag(std::string_view key) const;
    // A number of seconds, or "90s", "5m", "1h".
    [[nodiscard]] Result<std::optional<Duration>> duration(std::string_view key, Duration least,
                                                           Duration most) const;
    // A number of bytes, or "512MiB".
    [[nodiscard]] Result<std::optional<std::uint64_t>> bytes(std::string_view key, Span allowed) const;
    // Texts, each not empty.
    [[nodiscard]] Result<std::vector<std::string>> texts(std::string_view key, std::size_t maxCount,
                                                         std::size_t maxBytes) const;

private:
    ObjectReader(const nix::JsonValue::Object& object, std::string path) : m_object(&object), m_path(std::move(path)) {}

    const nix::JsonValue::Object* m_object;
    std::string m_path; // empty for the document itself
};

// 1 to maxBytes letters, digits and _ - . @ / +
[[nodiscard]] bool isWord(std::string_view text, std::size_t maxBytes);
// No NUL, and UTF-8.
[[nodiscard]] bool isPlainText(std::string_view text);

} // namespace penstock::jobs
