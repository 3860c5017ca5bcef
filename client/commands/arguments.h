// SPDX-License-Identifier: GPL-3.0-or-later
// Small pieces that several commands share: ids from words, query strings. Pure but for usageError.
#pragma once

#include "client/app/invocation.h"
#include "shared/config/values.h"

#include <cstdint>
#include <string>
#include <vector>

namespace penstock::client {

// A positive number; Invalid otherwise, naming the word.
[[nodiscard]] Result<std::uint64_t> parseId(std::string_view what, std::string_view word);
[[nodiscard]] Result<std::vector<std::uint64_t>> parseIds(std::string_view what,
                                                          const std::vector<std::string>& words);

// Says the error and how to get help; the result is the exit code 2.
int usageError(Invocation& invocation, const Error& error);

// {"note": …} of --note, for the body of a request.
[[nodiscard]] std::string noteBody(const config::Values& values);

class Query {
public:
    explicit Query(std::string path) : m_text(std::move(path)) {}
    // Adds key=value, percent-encoded; nothing for an empty value.
    Query& add(std::string_view key, std::string_view value);
    [[nodiscard]] const std::string& text() const { return m_text; }

private:
    std::string m_text;
    bool m_first = true;
};

} // namespace penstock::client
