// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/listing.h"

#include "shared/base/text.h"

#include <iterator>
#include <utility>

#include <fmt/format.h>

namespace penstock::nix {

ListingBuilder::ListingBuilder(std::size_t maxBytes) : m_maxBytes(maxBytes), m_text(R"({"version":1,"root":)")
{}

Result<std::string> ListingBuilder::finish() &&
{
    if (m_failure)
        return fail(*std::move(m_failure));
    if (m_depth != 0 || !m_text.ends_with('}'))
        return fail(ErrorCode::Invalid, "listing: the archive is not whole");
    m_text.push_back('}');
    if (m_text.size() > m_maxBytes)
        return fail(ErrorCode::Exhausted, fmt::format("listing: more than {} bytes", m_maxBytes));
    return std::move(m_text);
}

void ListingBuilder::giveUp(ErrorCode code, std::string message)
{
    m_failure = Error{code, "listing: " + std::move(message)};
    m_text.clear();
    m_text.shrink_to_fit();
}

void ListingBuilder::appendText(std::string_view text)
{
    if (!isUtf8(text)) {
        giveUp(ErrorCode::Invalid, fmt::format("'{}' is not UTF-8", toValidUtf8(text)));
        return;
    }
    m_text.push_back('"');
    for (const char c : text) {
        switch (c) {
        case '"': m_text.append("\\\""); break;
        case '\\': m_text.append("\\\\"); break;
        case '\b': m_text.append("\\b"); break;
        case '\f': m_text.append("\\f"); break;
        case '\n': m_text.append("\\n"); break;
        case '\r': m_text.append("\\r"); break;
        case '\t': m_text.append("\\t"); break;
        default:
            if (static_cast<unsigned char>(c) < 0x20)
                fmt::format_to(std::back_inserter(m_text), "\\u{:04x}", static_cast<unsigned>(c));
            else
                m_text.push_back(c);
        }
    }
    m_text.push_back('"');
}

// False when there is no listing any more.
bool ListingBuilder::beginNode(std::string_view path)
{
    if (m_failure)
        return false;
    if (m_depth == 0)
        return true;
    if (!m_text.ends_with('{'))
        m_text.push_back(',');
    appendText(path.substr(path.rfind('/') + 1)); // npos + 1 is the beginning
    if (m_failure)
        return false;
    m_text.push_back(':');
    return true;
}

void ListingBuilder::endNode()
{
    if (!m_failure && m_text.size() > m_maxBytes)
        giveUp(ErrorCode::Exhausted, fmt::format("more than {} bytes", m_maxBytes));
}

Result<void> ListingBuilder::onDirectory(std::string_view path)
{
    if (beginNode(path))
        m_text.append(R"({"type":"directory","entries":{)");
    ++m_depth;
    endNode();
    return {};
}

Result<void> ListingBuilder::onDirectoryEnd(std::string_view)
{
    --m_depth;
    if (!m_failure)
        m_text.append("}}");
    return {};
}

Result<void> ListingBuilder::onSymlink(std::string_view path, std::string_view target)
{
    if (!beginNode(path))
        return {};
    m_text.append(R"({"type":"symlink","target":)");
    appendText(target);
    if (!m_failure)
        m_text.push_back('}');
    endNode();
    return {};
}

Result<void> ListingBuilder::onFile(std::string_view path, const NarFile& file)
{
    if (!beginNode(path))
        return {};
    fmt::format_to(std::back_inserter(m_text), R"({{"type":"regular","size":{},{}"narOffset":{}}})",
                   file.size, file.isExecutable ? R"("executable":true,)" : "", file.offset);
    endNode();
    return {};
}

} // namespace penstock::nix
