// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/s3_xml.h"

#include "shared/base/text.h"

#include <array>
#include <cstdint>
#include <fmt/format.h>
#include <optional>
#include <utility>

namespace penstock::cache {
namespace {

constexpr unsigned kMaxDepth = 8; // S3's deepest answer has four
constexpr std::string_view kBlanks = " \t\r\n";

void appendUtf8(std::string& out, std::uint32_t point)
{
    const auto put = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (point < 0x80) {
        put(point);
    } else if (point < 0x800) {
        put(0xC0U | (point >> 6U));
        put(0x80U | (point & 0x3FU));
    } else if (point < 0x10000) {
        put(0xE0U | (point >> 12U));
        put(0x80U | ((point >> 6U) & 0x3FU));
        put(0x80U | (point & 0x3FU));
    } else {
        put(0xF0U | (point >> 18U));
        put(0x80U | ((point >> 12U) & 0x3FU));
        put(0x80U | ((point >> 6U) & 0x3FU));
        put(0x80U | (point & 0x3FU));
    }
}

std::optional<std::uint32_t> pointOf(std::string_view digits, std::uint32_t base)
{
    if (digits.empty() || digits.size() > 7)
        return std::nullopt;
    std::uint32_t point = 0;
    for (const char c : digits) {
        constexpr std::string_view kDigits = "0123456789abcdef";
        const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
        const std::size_t digit = kDigits.substr(0, base).find(lower);
        if (digit == std::string_view::npos)
            return std::nullopt;
        point = point * base + static_cast<std::uint32_t>(digit);
    }
    const bool isCharacter = point > 0 && point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
    return isCharacter ? std::optional(point) : std::nullopt;
}

class Reader {
public:
    explicit Reader(std::string_view text) : m_text(text) {}

    Result<XmlElement> document()
    {
        skipBlanks();
        if (m_text.substr(m_at).starts_with("<?xml")) {
            const std::size_t end = m_text.find("?>", m_at);
            if (end == std::string_view::npos)
                return bad("has a declaration without an end");
            m_at = end + 2;
        }
        skipBlanks();
        PENSTOCK_TRY(XmlElement root, element(1));
        skipBlanks();
        if (m_at != m_text.size())
            return bad("goes on after its root element");
        return root;
    }

private:
    [[nodiscard]] tl::unexpected<Error> bad(std::string_view what) const
    {
        return fail(ErrorCode::Corrupt, fmt::format("the XML of the answer {} (at byte {})", what, m_at));
    }
    [[nodiscard]] bool take(std::string_view word)
    {
        if (!m_text.substr(m_at).starts_with(word))
            return false;
        m_at += word.size();
        return true;
    }
    void skipBlanks() { m_at = std::min(m_text.find_first_not_of(kBlanks, m_at), m_text.size()); }

    Result<std::string_view> name()
    {
        const std::size_t end = std::min(m_text.find_first_of(" \t\r\n/>=<&\"'", m_at), m_text.size());
        const std::string_view found = m_text.substr(m_at, end - m_at);
        if (found.empty() || found.front() == '!' || found.front() == '?')
            return bad("has no name where one belongs");
        m_at = end;
        return found;
    }
    Result<void> attributes()
    {
        for (;;) {
            const std::size_t before = m_at;
            skipBlanks();
            if (m_at >= m_text.size() || m_text[m_at] == '>' || m_text[m_at] == '/')
                return {};
            if (m_at == before)
                return bad("has no blank before an attribute");
            PENSTOCK_TRY_VOID(name());
            if (!take("=") || m_at >= m_text.size() || (m_text[m_at] != '"' && m_text[m_at] != '\''))
                return bad("has an attribute without a value in quotes");
            const std::size_t end = m_text.find(m_text[m_at], m_at + 1);
            if (end == std::string_view::npos)
                return bad("has an attribute that does not end");
            m_at = end + 1;
        }
    }
    Result<XmlElement> element(unsigned depth)
    {
        if (depth > kMaxDepth)
            return bad(fmt::format("is deeper than {} elements", kMaxDepth));
        if (!take("<"))
            return bad("has no element where one belongs");
        PENSTOCK_TRY(const std::string_view opened, name());
        XmlElement made{std::string(opened), {}};
        PENSTOCK_TRY_VOID(attributes());
        if (take("/>"))
            return made;
        if (!take(">"))
            return bad("has a tag that does not end");
        for (;;) {
            PENSTOCK_TRY_VOID(appendText(made.text));
            if (take("</"))
                break;
            PENSTOCK_TRY(XmlElement inner, element(depth + 1));
            made.children.push_back(std::move(inner));
        }
        PENSTOCK_TRY(const std::string_view closed, name());
        skipBlanks();
        if (closed != opened || !take(">"))
            return bad(fmt::format("closes <{}> with </{}>", opened, closed));
        if (!made.children.empty()) {
            if (!trim(made.text).empty())
                return bad("mixes text and elements");
            made.text.clear();
        }
        return made;
    }
    Result<void> appendText(std::string& out)
    {
        for (;;) {
            const std::size_t end = m_text.find_first_of("<&", m_at);
            if (end == std::string_view::npos)
                return bad("ends within an element");
            out.append(m_text.substr(m_at, end - m_at));
            m_at = end;
            if (m_text[m_at] == '<')
                return {};
            PENSTOCK_TRY_VOID(appendEntity(out));
        }
    }
    Result<void> appendEntity(std::string& out)
    {
        constexpr std::array<std::pair<std::string_view, char>, 5> kNamed{
            {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}}};
        const std::size_t end = m_text.find(';', m_at);
        if (end == std::string_view::npos)
            return bad("has an entity that does not end");
        const std::string_view entity = m_text.substr(m_at + 1, end - m_at - 1);
        m_at = end + 1;
        for (const auto& [word, letter] : kNamed)
            if (entity == word) {
                out.push_back(letter);
                return {};
            }
        std::optional<std::uint32_t> point;
        if (entity.starts_with("#x"))
            point = pointOf(entity.substr(2), 16);
        else if (entity.starts_with('#'))
            point = pointOf(entity.substr(1), 10);
        if (!point)
            return bad("has an entity that is unknown");
        appendUtf8(out, *point);
        return {};
    }

    std::string_view m_text;
    std::size_t m_at = 0;
};

} // namespace

const XmlElement* XmlElement::child(std::string_view childName) const
{
    for (const XmlElement& each : children)
        if (each.name == childName)
            return &each;
    return nullptr;
}

std::string XmlElement::textOf(std::string_view childName) const
{
    const XmlElement* const found = child(childName);
    return found == nullptr ? std::string() : found->text;
}

Result<XmlElement> parseXml(std::string_view text)
{
    return Reader(text).document();
}

std::string escapeXml(std::string_view text)
{
    std::string out;
    for (const char c : text)
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        default: out.push_back(c);
        }
    return out;
}

} // namespace penstock::cache
