// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/export_stream.h"

#include "shared/base/text.h"
#include "shared/nix/nar_rules.h"

#include <string>
#include <utility>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

constexpr std::uint64_t kExportMagic = 0x4558494e;
constexpr std::size_t kMaxPathText = kMaxStoreDirLength + 1 + kStoreDigestLength + 1 + kMaxStoreNameLength;
constexpr std::size_t kMaxOldSignature = 64U << 10U;

} // namespace

class ExportReader::State {
public:
    State(StoreDir dir, ExportVisitor& visitor, ExportLimits limits)
        : m_dir(std::move(dir)), m_visitor(&visitor), m_limits(limits)
    {}

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
                        fmt::format("export stream: it ends at byte {} before it is whole", m_offset));
        return {};
    }
    [[nodiscard]] bool isDone() const { return m_due == Due::Nothing; }

private:
    enum class Due : std::uint8_t {
        PathOrEnd,
        Nar,
        Magic,
        Path,
        ReferenceCount,
        Reference,
        Deriver,
        SignatureMark,
        Signature,
        Nothing
    };

    [[nodiscard]] tl::unexpected<Error> corrupt(std::string_view what) const
    {
        return fail(ErrorCode::Corrupt, fmt::format("export stream: {} (before byte {})", what, m_offset));
    }

    Result<void> advance(std::string_view bytes)
    {
        while (m_due != Due::Nothing) {
            if (m_due == Due::Nar) {
                if (bytes.empty())
                    return {};
                PENSTOCK_TRY_VOID(passNar(bytes));
                continue;
            }
            PENSTOCK_TRY(const bool isWhole, takeItem(bytes));
            if (!isWhole)
                return {};
        }
        return {};
    }

    Result<void> passNar(std::string_view& bytes)
    {
        auto pushed = m_parser->push(bytes);
        if (!pushed)
            return fail(std::move(pushed).error().in(fmt::format("export stream: path {}", m_paths)));
        const std::string_view piece = bytes.substr(0, *pushed);
        bytes.remove_prefix(*pushed);
        m_offset += *pushed;
        if (m_parser->isDone())
            m_due = Due::Magic;
        return m_visitor->onNar(piece);
    }

    [[nodiscard]] const char* gather(std::string_view& bytes, std::size_t count)
    {
        const std::size_t before = bytes.size();
        const char* item = m_items.take(bytes, count);
        m_offset += before - bytes.size();
        return item;
    }

    // An integer or a string; false when bytes do not suffice.
    Result<bool> takeItem(std::string_view& bytes)
    {
        const bool isString =
            m_due == Due::Path || m_due == Due::Reference || m_due == Due::Deriver || m_due == Due::Signature;
        if (!m_hasLength) {
            const char* word = gather(bytes, kNarWord);
            if (word == nullptr)
                return false;
            const std::uint64_t value = readNarNumber(word);
            if (!isString) {
                PENSTOCK_TRY_VOID(takeNumber(value));
                return true;
            }
            const std::size_t limit = m_due == Due::Signature ? kMaxOldSignature : kMaxPathText;
            if (value > limit)
                return fail(
                    ErrorCode::Exhausted,
                    fmt::format("export stream: the length of a {} is {}, the limit is {} (before byte {})",
                                m_due == Due::Signature ? "signature" : "path", value, limit, m_offset));
            m_length = value;
            m_hasLength = true;
        }
        const std::size_t padding = narPadding(m_length);
        const char* text = gather(bytes, m_length + padding);
        if (text == nullptr)
            return false;
        m_hasLength = false;
        for (std::size_t i = 0; i < padding; ++i)
            if (text[m_length + i] != '\0')
                return corrupt("padding is not zero");
        PENSTOCK_TRY_VOID(takeString({text, m_length}));
        return true;
    }

    Result<void> takeNumber(std::uint64_t value)
    {
        if (m_due == Due::Magic) {
            if (value != kExportMagic)
                return corrupt(
                    fmt::format("{:#x} where the mark {:#x} is due after a NAR", value, kExportMagic));
            m_due = Due::Path;
            return {};
        }
        if (m_due == Due::ReferenceCount) {
            if (value > m_limits.maxReferences)
                return fail(ErrorCode::Exhausted,
                            fmt::format("export stream: '{}' has {} references, the limit is {}",
                                        m_path->path.baseName(), value, m_limits.maxReferences));
            m_references = value;
            m_due = value == 0 ? Due::Deriver : Due::Reference;
            return {};
        }
        if (value > 1)
            return corrupt(fmt::format("{} where 0 or 1 is due", value));
        if (m_due == Due::SignatureMark) {
            m_due = Due::Signature;
            return value == 1 ? Result<void>{} : endPath();
        }
        if (value == 0) {
            m_due = Due::Nothing;
            return {};
        }
        if (++m_paths > m_limits.maxPaths)
            return fail(ErrorCode::Exhausted,
                        fmt::format("export stream: more than {} paths", m_limits.maxPaths));
        m_parser.emplace(*m_visitor, m_limits.nar);
        m_due = Due::Nar;
        return {};
    }

    Result<StorePath> parsePath(std::string_view text) const
    {
        auto path = StorePath::parse(m_dir, text);
        if (!path)
            return corrupt(path.error().message);
        return path;
    }

    Result<void> takeString(std::string_view text)
    {
        if (m_due == Due::Signature)
            return endPath(); // the old form, which nobody checks any more
        if (m_due == Due::Deriver) {
            if (!text.empty()) {
                PENSTOCK_TRY(m_path->deriver, parsePath(text));
            }
            m_due = Due::SignatureMark;
            return {};
        }
        PENSTOCK_TRY(StorePath path, parsePath(text));
        if (m_due == Due::Path) {
            m_path.emplace(ExportedPath{std::move(path), {}, std::nullopt, m_parser->byteCount()});
            m_due = Due::ReferenceCount;
            return {};
        }
        m_path->references.insert(std::move(path));
        if (--m_references == 0)
            m_due = Due::Deriver;
        return {};
    }

    Result<void> endPath()
    {
        m_due = Due::PathOrEnd;
        return m_visitor->onPath(*m_path);
    }

    StoreDir m_dir;
    ExportVisitor* m_visitor;
    ExportLimits m_limits;
    Due m_due = Due::PathOrEnd;
    bool m_hasLength = false;
    std::size_t m_length = 0;
    std::uint64_t m_offset = 0;
    std::uint64_t m_paths = 0;
    std::uint64_t m_references = 0; // still to come
    NarItems m_items;
    std::optional<NarParser> m_parser;
    std::optional<ExportedPath> m_path;
    std::optional<Error> m_failure; // a stream that failed stays so
};

ExportReader::ExportReader(StoreDir dir, ExportVisitor& visitor, ExportLimits limits)
    : m_state(std::make_unique<State>(std::move(dir), visitor, limits))
{}
ExportReader::~ExportReader() = default;
ExportReader::ExportReader(ExportReader&&) noexcept = default;
ExportReader& ExportReader::operator=(ExportReader&&) noexcept = default;

Result<std::size_t> ExportReader::push(std::string_view bytes)
{
    return m_state->push(bytes);
}

bool ExportReader::isDone() const
{
    return m_state->isDone();
}

Result<void> ExportReader::finish() const
{
    return m_state->finish();
}

class ExportWriter::State {
public:
    State(StoreDir dir, ByteSink sink) : m_dir(std::move(dir)), m_sink(std::move(sink)) {}

    Result<void> nar(std::string_view bytes)
    {
        PENSTOCK_TRY_VOID(checkOpen());
        if (!m_parser) {
            m_parser.emplace(m_nobody);
            PENSTOCK_TRY_VOID(number(1));
        }
        PENSTOCK_TRY(const std::size_t taken, keep(m_parser->push(bytes)));
        if (taken != bytes.size())
            return keep(bad(fmt::format("{} bytes after the end of a NAR", bytes.size() - taken)));
        return keep(m_sink(bytes));
    }
    Result<void> endPath(const ExportedPath& path)
    {
        PENSTOCK_TRY_VOID(checkOpen());
        if (!m_parser)
            return keep(bad(fmt::format("'{}' comes without its NAR", path.path.baseName())));
        PENSTOCK_TRY_VOID(keep(m_parser->finish()));
        m_parser.reset();
        std::string text;
        appendNarNumber(text, kExportMagic);
        appendNarString(text, path.path.print(m_dir));
        appendNarNumber(text, path.references.size());
        for (const StorePath& reference : path.references)
            appendNarString(text, reference.print(m_dir));
        appendNarString(text, path.deriver ? path.deriver->print(m_dir) : "");
        appendNarNumber(text, 0);
        return keep(m_sink(text));
    }
    Result<void> finish()
    {
        PENSTOCK_TRY_VOID(checkOpen());
        if (m_parser)
            return keep(bad("a NAR has no path yet"));
        m_isFinished = true;
        return number(0);
    }

private:
    [[nodiscard]] static Result<void> bad(std::string_view what)
    {
        return fail(ErrorCode::Invalid, fmt::format("writing an export stream: {}", what));
    }
    [[nodiscard]] Result<void> checkOpen() const
    {
        if (m_failure)
            return fail(*m_failure);
        return m_isFinished ? bad("it was finished already") : Result<void>{};
    }
    template <class T> Result<T> keep(Result<T> result)
    {
        if (!result)
            m_failure = result.error();
        return result;
    }
    Result<void> number(std::uint64_t value)
    {
        std::string text;
        appendNarNumber(text, value);
        return keep(m_sink(text));
    }

    StoreDir m_dir;
    ByteSink m_sink;
    NarVisitor m_nobody;
    std::optional<NarParser> m_parser; // of the NAR that is open
    bool m_isFinished = false;
    std::optional<Error> m_failure; // a stream that failed stays so
};

ExportWriter::ExportWriter(StoreDir dir, ByteSink sink)
    : m_state(std::make_unique<State>(std::move(dir), std::move(sink)))
{}
ExportWriter::~ExportWriter() = default;
ExportWriter::ExportWriter(ExportWriter&&) noexcept = default;
ExportWriter& ExportWriter::operator=(ExportWriter&&) noexcept = default;

Result<void> ExportWriter::nar(std::string_view bytes)
{
    return m_state->nar(bytes);
}

Result<void> ExportWriter::endPath(const ExportedPath& path)
{
    return m_state->endPath(path);
}

Result<void> ExportWriter::finish()
{
    return m_state->finish();
}

} // namespace penstock::nix
