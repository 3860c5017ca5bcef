// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/json.h"

#include <cstdint>
#include <optional>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

class Reader {
public:
    explicit Reader(std::string_view text) : m_text(text) {}

    Result<JsonValue> document()
    {
        PENSTOCK_TRY(JsonValue value, this->value(0));
        skipSpace();
        if (m_at != m_text.size())
            return bad("text after the value");
        return value;
    }

private:
    [[nodiscard]] tl::unexpected<Error> bad(std::string_view what) const
    {
        return fail(ErrorCode::Corrupt, fmt::format("JSON: {} at byte {}", what, m_at));
    }
    void skipSpace()
    {
        while (m_at < m_text.size() &&
               std::string_view(" \t\r\n").find(m_text[m_at]) != std::string_view::npos)
            ++m_at;
    }
    bool take(char c)
    {
        skipSpace();
        if (m_at >= m_text.size() || m_text[m_at] != c)
            return false;
        ++m_at;
        return true;
    }
    bool takeWord(std::string_view word)
    {
        if (m_text.substr(m_at, word.size()) != word)
            return false;
        m_at += word.size();
        return true;
    }

    Result<JsonValue> value(unsigned depth)
    {
        if (depth > kMaxJsonNesting)
            return fail(ErrorCode::Exhausted,
                        fmt::format("JSON: nesting deeper than {} at byte {}", kMaxJsonNesting, m_at));
        skipSpace();
        if (m_at >= m_text.size())
            return bad("the text ends where a value is due");
        switch (m_text[m_at]) {
        case '{': return object(depth);
        case '[': return array(depth);
        case '"': {
            PENSTOCK_TRY(std::string text, string());
            return JsonValue(std::move(text));
        }
        default: break;
        }
        if (takeWord("true"))
            return JsonValue(true);
        if (takeWord("false"))
            return JsonValue(false);
        if (takeWord("null"))
            return JsonValue(nullptr);
        return number();
    }

    Result<JsonValue> object(unsigned depth)
    {
        ++m_at;
        JsonValue::Object members;
        if (take('}'))
            return JsonValue(std::move(members));
        do {
            skipSpace();
            if (m_at >= m_text.size() || m_text[m_at] != '"')
                return bad("a member's name is due");
            PENSTOCK_TRY(std::string name, string());
            if (!take(':'))
                return bad("':' is due");
            PENSTOCK_TRY(JsonValue item, value(depth + 1));
            members.emplace_back(std::move(name), std::move(item));
        } while (take(','));
        if (!take('}'))
            return bad("',' or '}' is due");
        return JsonValue(std::move(members));
    }

    Result<JsonValue> array(unsigned depth)
    {
        ++m_at;
        JsonValue::Array items;
        if (take(']'))
            return JsonValue(std::move(items));
        do {
            PENSTOCK_TRY(JsonValue item, value(depth + 1));
            items.push_back(std::move(item));
        } while (take(','));
        if (!take(']'))
            return bad("',' or ']' is due");
        return JsonValue(std::move(items));
    }

    Result<JsonValue> number()
    {
        const std::size_t start = m_at;
        const auto digits = [this] {
            const std::size_t from = m_at;
            while (m_at < m_text.size() && m_text[m_at] >= '0' && m_text[m_at] <= '9')
                ++m_at;
            return m_at > from;
        };
        takeWord("-");
        bool good = takeWord("0") || digits();
        if (takeWord("."))
            good = digits() && good;
        if (takeWord("e") || takeWord("E")) {
            if (!takeWord("+"))
                takeWord("-");
            good = digits() && good;
        }
        if (!good)
            return bad("no value can be read");
        return JsonValue(JsonValue::Number{std::string(m_text.substr(start, m_at - start))});
    }

    Result<std::string> string()
    {
        ++m_at;
        std::string text;
        for (;;) {
            const std::size_t stop = m_text.find_first_of("\"\\", m_at);
            if (stop == std::string_view::npos)
                return bad("a string has no end");
            text.append(m_text.substr(m_at, stop - m_at));
            m_at = stop + 1;
            if (m_text[stop] == '"')
                return text;
            PENSTOCK_TRY_VOID(escape(text));
        }
    }

    Result<void> escape(std::string& text)
    {
        if (m_at >= m_text.size())
            return bad("a string has no end");
        constexpr std::string_view kLetters = "\"\\/bfnrt";
        constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
        const char letter = m_text[m_at++];
        if (const std::size_t index = kLetters.find(letter); index != std::string_view::npos) {
            text.push_back(kMeanings[index]);
            return {};
        }
        if (letter != 'u')
            return bad("an unknown escape");
        std::optional<std::uint32_t> code = hex4();
        if (code && *code >= 0xD800 && *code < 0xDC00) { // first half of a UTF-16 pair
            const std::optional<std::uint32_t> second = takeWord("\\u") ? hex4() : std::nullopt;
            if (!second || *second < 0xDC00 || *second > 0xDFFF)
                return bad("half of a surrogate pair");
            code = 0x10000U + ((*code - 0xD800U) << 10U) + (*second - 0xDC00U);
        } else if (!code || (*code >= 0xDC00 && *code <= 0xDFFF)) {
            return bad("a bad \\u escape");
        }
        appendUtf8(text, *code);
        return {};
    }

    std::optional<std::uint32_t> hex4()
    {
        std::uint32_t code = 0;
        for (int i = 0; i < 4; ++i, ++m_at) {
            const char c = m_at < m_text.size() ? m_text[m_at] : '?';
            const std::size_t digit = std::string_view("0123456789abcdefABCDEF").find(c);
            if (digit == std::string_view::npos)
                return std::nullopt;
            code = code * 16 + static_cast<std::uint32_t>(digit < 16 ? digit : digit - 6);
        }
        return code;
    }

    static void appendUtf8(std::string& text, std::uint32_t code)
    {
        const auto tail = [&](unsigned shift) {
            text.push_back(static_cast<char>(0x80U | ((code >> shift) & 0x3FU)));
        };
        if (code < 0x80) {
            text.push_back(static_cast<char>(code));
        } else if (code < 0x800) {
            text.push_back(static_cast<char>(0xC0U | (code >> 6U)));
            tail(0);
        } else if (code < 0x10000) {
            text.push_back(static_cast<char>(0xE0U | (code >> 12U)));
            tail(6);
            tail(0);
        } else {
            text.push_back(static_cast<char>(0xF0U | (code >> 18U)));
            tail(12);
            tail(6);
            tail(0);
        }
    }

    std::string_view m_text;
    std::size_t m_at = 0;
};

} // namespace

const JsonValue* JsonValue::member(std::string_view name) const
{
    const Object* members = asObject();
    if (members == nullptr)
        return nullptr;
    for (auto it = members->rbegin(); it != members->rend(); ++it)
        if (it->first == name)
            return &it->second;
    return nullptr;
}

Result<JsonValue> parseJson(std::string_view text)
{
    if (text.size() > kMaxJsonBytes)
        return fail(ErrorCode::Exhausted,
                    fmt::format("JSON text has {} bytes; at most {} are read", text.size(), kMaxJsonBytes));
    return Reader(text).document();
}

} // namespace penstock::nix
