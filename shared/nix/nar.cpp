// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/nar.h"

#include "shared/base/text.h"
#include "shared/nix/nar_rules.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

constexpr std::size_t kMaxTag = 32;

} // namespace

class NarParser::State {
public:
    State(NarVisitor& visitor, NarLimits limits) : m_visitor(&visitor), m_limits(limits) {}

    Result<std::size_t> push(std::string_view bytes)
    {
        if (m_failure)
            return fail(*m_failure);
        const std::uint64_t before = m_offset;
        auto advanced = advance(bytes);
        if (!advanced) {
            m_failure = advanced.error();
            return fail(*m_failure);
        }
        return m_offset - before;
    }
    Result<void> finish() const
    {
        if (m_failure)
            return fail(*m_failure);
        if (!isDone())
            return fail(ErrorCode::Corrupt,
                        fmt::format("NAR: the archive ends at byte {} before it is whole", m_offset));
        return {};
    }
    [[nodiscard]] bool isDone() const { return m_due == Due::Nothing; }
    [[nodiscard]] std::uint64_t byteCount() const { return m_offset; }

private:
    // What comes next. Up to Target: a string; then an integer or raw bytes.
    enum class Due : std::uint8_t {
        Magic,
        NodeOpen,
        TypeTag,
        Type,
        ContentsOrExecutable,
        ExecutableValue,
        Contents,
        NodeClose,
        TargetTag,
        EntryOrClose,
        EntryOpen,
        NameTag,
        NodeTag,
        EntryClose,
        Name,
        Target,
        ContentSize,
        Content,
        ContentPadding,
        Nothing
    };
    struct Level {
        std::size_t pathLength = 0; // of the directory itself
        std::string previous;       // name of its latest entry
    };

    [[nodiscard]] tl::unexpected<Error> corrupt(std::string_view what) const
    {
        return fail(ErrorCode::Corrupt, fmt::format("NAR: {} (before byte {})", what, m_offset));
    }
    [[nodiscard]] tl::unexpected<Error> tooMuch(std::string_view what, std::uint64_t value,
                                                std::uint64_t limit) const
    {
        return fail(ErrorCode::Exhausted, fmt::format("NAR: {} is {}, the limit is {} (before byte {})", what,
                                                      value, limit, m_offset));
    }

    Result<void> advance(std::string_view bytes)
    {
        while (m_due != Due::Nothing) {
            if (m_due == Due::Content) {
                if (bytes.empty())
                    return {};
                PENSTOCK_TRY_VOID(passContent(bytes));
                continue;
            }
            if (m_due == Due::ContentPadding) {
                PENSTOCK_TRY(const char* padding, gather(bytes, m_length));
                if (padding == nullptr)
                    return {};
                PENSTOCK_TRY_VOID(checkPadding({padding, m_length}));
                PENSTOCK_TRY_VOID(m_visitor->onFileEnd());
                m_due = Due::NodeClose;
                continue;
            }
            if (takeRun(bytes))
                continue;
            PENSTOCK_TRY(const bool isWhole, takeItem(bytes));
            if (!isWhole)
                return {};
        }
        return {};
    }

    // Words that come together, when they do and the next piece has them whole.
    bool takeRun(std::string_view& bytes)
    {
        if (m_hasLength || m_items.keptBytes() != 0)
            return false;
        if (m_due == Due::EntryOrClose)
            return takeRun(bytes, kNarEntry, Due::Name);
        if (m_due == Due::NodeTag)
            return takeRun(bytes, kNarNode, Due::Type);
        if (m_due == Due::ContentsOrExecutable && takeRun(bytes, kNarContents, Due::ContentSize)) {
            m_isExecutable = false;
            return true;
        }
        if (m_due == Due::NodeClose && m_depth != 0 && takeRun(bytes, kNarClosing, Due::EntryOrClose)) {
            leaveEntry();
            return true;
        }
        return false;
    }
    bool takeRun(std::string_view& bytes, std::string_view run, Due next)
    {
        if (!bytes.starts_with(run) || run.size() > m_limits.maxBytes - m_offset)
            return false;
        bytes.remove_prefix(run.size());
        m_offset += run.size();
        m_due = next;
        return true;
    }

    // An integer or a string; false when bytes do not suffice.
    Result<bool> takeItem(std::string_view& bytes)
    {
        if (!m_hasLength) {
            PENSTOCK_TRY(const char* word, gather(bytes, kNarWord));
            if (word == nullptr)
                return false;
            const std::uint64_t value = readNarNumber(word);
            if (m_due == Due::ContentSize) {
                PENSTOCK_TRY_VOID(beginContent(value));
                return true;
            }
            PENSTOCK_TRY_VOID(checkLength(value));
            m_length = value;
            m_hasLength = true;
        }
        const std::size_t padding = narPadding(m_length);
        PENSTOCK_TRY(const char* text, gather(bytes, m_length + padding));
        if (text == nullptr)
            return false;
        m_hasLength = false;
        PENSTOCK_TRY_VOID(checkPadding({text + m_length, padding}));
        PENSTOCK_TRY_VOID(takeString({text, m_length}));
        return true;
    }

    // The next count bytes in one piece, or null when they are not all there yet. Valid until the next call.
    Result<const char*> gather(std::string_view& bytes, std::size_t count)
    {
        const std::size_t missing = count - m_items.keptBytes();
        if (missing > m_limits.maxBytes - m_offset)
            return tooMuch("its size", m_offset + missing, m_limits.maxBytes);
        const std::size_t before = bytes.size();
        const char* item = m_items.take(bytes, count);
        m_offset += before - bytes.size();
        return item;
    }

    Result<void> checkPadding(std::string_view padding) const
    {
        for (const char byte : padding)
            if (byte != '\0')
                return corrupt("padding is not zero");
        return {};
    }

    // Before anything of that length is kept.
    Result<void> checkLength(std::uint64_t length) const
    {
        if (m_due == Due::Name) {
            if (length > kMaxNarName)
                return tooMuch("the length of a name", length, kMaxNarName);
        } else if (m_due == Due::Target) {
            if (length > kMaxNarTarget)
                return tooMuch("the length of a link target", length, kMaxNarTarget);
        } else if (length > kMaxTag) {
            return corrupt(
                fmt::format("a string of {} bytes where a word of at most {} is due", length, kMaxTag));
        }
        return {};
    }

    Result<void> expect(std::string_view text, std::string_view wanted, Due next)
    {
        if (text != wanted)
            return unexpected(text, fmt::format("'{}'", wanted));
        m_due = next;
        return {};
    }
    [[nodiscard]] tl::unexpected<Error> unexpected(std::string_view text, std::string_view wanted) const
    {
        return corrupt(fmt::format("'{}' where {} is due", toValidUtf8(text), wanted));
    }

    Result<void> takeString(std::string_view text)
    {
        switch (m_due) {
        case Due::Magic: return expect(text, kNarMagic, Due::NodeOpen);
        case Due::NodeOpen: return expect(text, "(", Due::TypeTag);
        case Due::TypeTag: return expect(text, "type", Due::Type);
        case Due::Type: return takeType(text);
        case Due::ContentsOrExecutable:
            m_isExecutable = text == "executable";
            return m_isExecutable ? expect(text, "executable", Due::ExecutableValue)
                                  : expect(text, "contents", Due::ContentSize);
        case Due::ExecutableValue: return expect(text, "", Due::Contents);
        case Due::Contents: return expect(text, "contents", Due::ContentSize);
        case Due::TargetTag: return expect(text, "target", Due::Target);
        case Due::Target: return takeTarget(text);
        case Due::NodeClose: return closeNode(text);
        case Due::EntryOrClose: return text == ")" ? closeDirectory() : expect(text, "entry", Due::EntryOpen);
        case Due::EntryOpen: return expect(text, "(", Due::NameTag);
        case Due::NameTag: return expect(text, "name", Due::Name);
        case Due::Name: return takeName(text);
        case Due::NodeTag: return expect(text, "node", Due::NodeOpen);
        case Due::EntryClose: return closeEntry(text);
        case Due::ContentSize:
        case Due::Content:
        case Due::ContentPadding:
        case Due::Nothing: break;
        }
        return fail(ErrorCode::Internal, "NAR: a string was read where none is due");
    }

    Result<void> takeType(std::string_view type)
    {
        if (++m_entries > m_limits.maxEntries)
            return tooMuch("the number of its entries", m_entries, m_limits.maxEntries);
        if (m_depth == kMaxNarNesting)
            return tooMuch("its depth", m_depth + 1, kMaxNarNesting);
        if (type == "regular") {
            m_due = Due::ContentsOrExecutable;
        } else if (type == "symlink") {
            m_due = Due::TargetTag;
        } else if (type == "directory") {
            if (m_levels.size() == m_depth)
                m_levels.emplace_back();
            Level& level = m_levels[m_depth++];
            level.pathLength = m_path.size();
            level.previous.clear();
            m_due = Due::EntryOrClose;
            return m_visitor->onDirectory(m_path);
        } else {
            return unexpected(type, "'regular', 'symlink' or 'directory'");
        }
        return {};
    }

    Result<void> takeTarget(std::string_view target)
    {
        if (const std::string fault = narTargetFault(target); !fault.empty())
            return corrupt(fault);
        m_due = Due::NodeClose;
        return m_visitor->onSymlink(m_path, target);
    }

    Result<void> takeName(std::string_view name)
    {
        if (const std::string fault = narNameFault(name); !fault.empty())
            return corrupt(fault);
        Level& level = m_levels[m_depth - 1];
        if (const std::string fault = narOrderFault(level.previous, name); !fault.empty())
            return corrupt(fault);
        level.previous.assign(name);
        if (level.pathLength != 0)
            m_path.push_back('/');
        m_path.append(name);
        m_due = Due::NodeTag;
        return {};
    }

    Result<void> beginContent(std::uint64_t size)
    {
        const std::size_t padding = narPadding(size);
        const std::uint64_t room = m_limits.maxBytes - m_offset;
        if (size > room || padding > room - size)
            return tooMuch("the size of a file", size, room);
        m_remaining = size;
        m_length = padding;
        m_due = size == 0 ? Due::ContentPadding : Due::Content;
        return m_visitor->onFile(m_path, {m_isExecutable, size, m_offset});
    }

    Result<void> passContent(std::string_view& bytes)
    {
        const std::size_t taken = std::min<std::size_t>(m_remaining, bytes.size());
        const std::string_view piece = bytes.substr(0, taken);
        bytes.remove_prefix(taken);
        m_offset += taken;
        m_remaining -= taken;
        if (m_remaining == 0)
            m_due = Due::ContentPadding;
        return m_visitor->onContent(piece);
    }

    Result<void> closeNode(std::string_view text)
    {
        return expect(text, ")", m_depth == 0 ? Due::Nothing : Due::EntryClose);
    }
    Result<void> closeDirectory()
    {
        --m_depth;
        m_due = m_depth == 0 ? Due::Nothing : Due::EntryClose;
        return m_visitor->onDirectoryEnd(m_path);
    }
    Result<void> closeEntry(std::string_view text)
    {
        leaveEntry();
        return expect(text, ")", Due::EntryOrClose);
    }
    void leaveEntry() { m_path.resize(m_levels[m_depth - 1].pathLength); }

    NarVisitor* m_visitor;
    NarLimits m_limits;
    Due m_due = Due::Magic;
    bool m_hasLength = false; // m_length was read and its bytes are due
    bool m_isExecutable = false;
    unsigned m_depth = 0;          // open directories; m_levels keeps closed ones for their memory
    std::size_t m_length = 0;      // of the string, or of the padding after content
    std::uint64_t m_remaining = 0; // content bytes
    std::uint64_t m_offset = 0;
    std::uint64_t m_entries = 0;
    std::string m_path;
    NarItems m_items;
    std::vector<Level> m_levels;
    std::optional<Error> m_failure; // an archive that failed stays so
};

NarParser::NarParser(NarVisitor& visitor, NarLimits limits)
    : m_state(std::make_unique<State>(visitor, limits))
{}
NarParser::~NarParser() = default;
NarParser::NarParser(NarParser&&) noexcept = default;
NarParser& NarParser::operator=(NarParser&&) noexcept = default;

Result<std::size_t> NarParser::push(std::string_view bytes)
{
    return m_state->push(bytes);
}

bool NarParser::isDone() const
{
    return m_state->isDone();
}

Result<void> NarParser::finish() const
{
    return m_state->finish();
}

std::uint64_t NarParser::byteCount() const
{
    return m_state->byteCount();
}

Result<void> parseNar(std::string_view archive, NarVisitor& visitor, NarLimits limits)
{
    NarParser parser(visitor, limits);
    PENSTOCK_TRY(const std::size_t taken, parser.push(archive));
    PENSTOCK_TRY_VOID(parser.finish());
    if (taken != archive.size())
        return fail(
            ErrorCode::Corrupt,
            fmt::format("NAR: the archive ends at byte {}, but {} bytes were given", taken, archive.size()));
    return {};
}

} // namespace penstock::nix
