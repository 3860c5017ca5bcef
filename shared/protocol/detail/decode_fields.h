// SPDX-License-Identifier: GPL-3.0-or-later
// FieldReader: copies fields out of a message and checks each; the first broken one is kept as the error, so a
// decoder reads as a list of fields. Pure; an object lives for one message.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"
#include "shared/protocol/link_values.h"

#include "proto/link.pb.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::protocol::detail {

using TextList = google::protobuf::RepeatedPtrField<std::string>;

class FieldReader {
public:
    explicit FieldReader(std::string_view message) : m_message(message) {}

    // Any text up to the limit, without a NUL byte.
    void text(std::string_view field, const std::string& from, std::string& to, std::size_t limit);
    // The same without control characters: it is shown in tables and logs.
    void name(std::string_view field, const std::string& from, std::string& to);
    void requiredName(std::string_view field, const std::string& from, std::string& to);
    void names(std::string_view field, const TextList& from, std::vector<std::string>& to);
    void texts(std::string_view field, const TextList& from, std::vector<std::string>& to, std::size_t limit);
    void path(std::string_view field, const std::string& from, std::string& to);
    void hexId(std::string_view field, const std::string& from, std::string& to);
    void amount(std::string_view field, double from, double& to); // finite, not negative
    void time(std::string_view field, std::uint64_t from, WallTime& to);
    void micros(std::string_view field, std::uint64_t from, Duration& to);
    void millis(std::string_view field, std::uint64_t from, std::chrono::milliseconds& to);
    template <class Tag> void id(std::string_view field, std::uint64_t from, Id<Tag>& to)
    {
        if (checkId(field, from))
            to = Id<Tag>(from);
    }
    // False, with the error kept, when value is above the limit.
    bool atMost(std::string_view field, std::uint64_t value, std::uint64_t limit);
    bool checkId(std::string_view field, std::uint64_t value);
    void resources(const google::protobuf::Map<std::string, std::uint64_t>& from,
                   std::map<std::string, std::uint64_t>& to);
    void outputs(std::string_view field, const google::protobuf::RepeatedPtrField<link::NixOutput>& from,
                 std::vector<NixOutput>& to);

    void refuse(std::string_view field, std::string_view why);
    template <class T> void check(const Result<T>& other)
    {
        if (!other && !m_error)
            m_error = other.error();
    }
    [[nodiscard]] bool good() const { return !m_error; }
    [[nodiscard]] const std::optional<Error>& error() const { return m_error; }
    // The value, or the first error.
    template <class T> [[nodiscard]] Result<T> finish(T value)
    {
        if (m_error)
            return fail(std::move(*m_error));
        return value;
    }

private:
    std::string_view m_message;
    std::optional<Error> m_error;
};

} // namespace penstock::protocol::detail
