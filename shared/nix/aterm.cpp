// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/aterm.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include <fmt/format.h>

namespace penstock::nix {

namespace {

// Derivations are long strings in which nothing is escaped: what looks for that must be fast.
constexpr std::array<bool, 256> kEscaped = [] {
    std::array<bool, 256> table{};
    for (const char letter : {'"', '\\', '\n', '\r', '\t'})
        table[static_cast<unsigned char>(letter)] = true;
    return table;
}();

std::size_t findEscaped(std::string_view text, std::size_t at)
{
    const auto found = std::find_if(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(),
                                    [](char letter) { return kEscaped[static_cast<unsigned char>(letter)]; });
    return found == text.end() ? std::string_view::npos : static_cast<std::size_t>(found - text.begin());
}

} // namespace

void appendAtermString(std::string& out, std::string_view text)
{
    out.push_back('"');
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t stop = findEscaped(text, at);
        if (stop == std::string_view::npos) {
            out.append(text.substr(at));
            break;
        }
        out.append(text.substr(at, stop - at)).push_back('\\');
        switch (text[stop]) {
        case '\n': out.push_back('n'); break;
        case '\r': out.push_back('r'); break;
        case '\t': out.push_back('t'); break;
        default: out.push_back(text[stop]); break;
        }
        at = stop + 1;
    }
    out.push_back('"');
}

bool AtermReader::take(std::string_view token)
{
    if (m_text.substr(m_at, token.size()) != token)
        return false;
    m_at += token.size();
    return true;
}

Result<void> AtermReader::expect(std::string_view token)
{
    if (!take(token))
        return bad(fmt::format("'{}' is due", token));
    return {};
}

Result<std::string> AtermReader::string()
{
    PENSTOCK_TRY_VOID(expect("\""));
    std::string text;
    std::size_t quote = m_at; // the next one from m_at on, once it was looked for
    for (bool isKnown = false;; isKnown = isKnown && quote >= m_at) {
        if (!isKnown)
            quote = m_text.find('"', m_at);
        isKnown = true;
        const std::size_t escape = m_text.substr(0, quote).find('\\', m_at);
        const std::size_t stop = escape == std::string_view::npos ? quote : escape;
        if (stop == std::string_view::npos || (m_text[stop] == '\\' && stop + 1 == m_text.size()))
            return bad("a string has no end");
        text.append(m_text.substr(m_at, stop - m_at));
        m_at = stop + 1;
        if (m_text[stop] == '"')
            return text;
        const char letter = m_text[m_at++];
        switch (letter) {
        case 'n': text.push_back('\n'); break;
        case 'r': text.push_back('\r'); break;
        case 't': text.push_back('\t'); break;
        default: text.push_back(letter); break;
        }
    }
}

tl::unexpected<Error> AtermReader::bad(std::string_view what) const
{
    return fail(ErrorCode::Invalid, fmt::format("derivation: {} at byte {}", what, m_at));
}

Result<void> AtermReader::countItem()
{
    if (++m_items > kMaxAtermItems)
        return fail(ErrorCode::Exhausted, fmt::format("derivation: more than {} list items", kMaxAtermItems));
    return {};
}

} // namespace penstock::nix
