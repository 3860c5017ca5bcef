// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/nar.h"

#include "shared/base/text.h"
#include "shared/nix/nar_rules.h"

#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

constexpr std::size_t kBufferBytes = 64U << 10U;  // small items are gathered up to here
constexpr std::size_t kCopiedContent = 4U << 10U; // content above it goes to the sink as it is

} // namespace

class NarWriter::State {
public:
    explicit State(ByteSink sink) : m_sink(std::move(sink)) { m_buffer.reserve(kBufferBytes); }

    template <class Step> Result<void> run(Step step)
    {
        if (m_failure)
            return fail(*m_failure);
        Result<void> done = step(*this);
        if (done && m_buffer.size() >= kBufferBytes - kCopiedContent)
            done = flush();
        if (!done)
            m_failure = done.error();
        return done;
    }

    Result<void> beginDirectory(std::string_view name)
    {
        PENSTOCK_TRY_VOID(beginNode(name, "directory"));
        m_previous.emplace_back();
        return {};
    }
    Result<void> endDirectory()
    {
        if (m_previous.empty())
            return bad("no directory is open");
        PENSTOCK_TRY_VOID(checkNoFile());
        m_previous.pop_back();
        endNode();
        return {};
    }
    Result<void> symlink(std::string_view name, std::string_view target)
    {
        if (const std::string fault = narTargetFault(target); !fault.empty())
            return bad(fault);
        if (target.size() > kMaxNarTarget)
            return bad(
                fmt::format("a link target of {} bytes; the limit is {}", target.size(), kMaxNarTarget));
        PENSTOCK_TRY_VOID(beginNode(name, "symlink"));
        string("target");
        string(target);
        endNode();
        return {};
    }
    Result<void> beginFile(std::string_view name, std::uint64_t size, bool isExecutable)
    {
        PENSTOCK_TRY_VOID(beginNode(name, "regular"));
        if (isExecutable) {
            string("executable");
            string("");
        }
        string("contents");
        appendNarNumber(m_buffer, size);
        m_remaining = size;
        m_padding = narPadding(size);
        m_isFileOpen = true;
        if (size == 0)
            endFile();
        return {};
    }
    Result<void> content(std::string_view bytes)
    {
        if (bytes.size() > m_remaining)
            return bad(fmt::format("{} bytes of content where {} are due", bytes.size(), m_remaining));
        if (bytes.size() > kCopiedContent) {
            PENSTOCK_TRY_VOID(flush());
            PENSTOCK_TRY_VOID(m_sink(bytes));
        } else {
            m_buffer.append(bytes);
        }
        m_remaining -= bytes.size();
        if (m_remaining == 0 && m_isFileOpen)
            endFile();
        return {};
    }
    Result<void> finish()
    {
        PENSTOCK_TRY_VOID(checkNoFile());
        if (!m_previous.empty() || !m_hasRoot)
            return bad(fmt::format("the archive is not whole: {} directories are open", m_previous.size()));
        return flush();
    }

private:
    [[nodiscard]] static tl::unexpected<Error> bad(std::string_view what)
    {
        return fail(ErrorCode::Invalid, fmt::format("writing a NAR: {}", what));
    }
    [[nodiscard]] Result<void> checkNoFile() const
    {
        if (m_isFileOpen)
            return bad(fmt::format("{} bytes of the open file are missing", m_remaining));
        return {};
    }
    Result<void> flush()
    {
        if (m_buffer.empty())
            return {};
        PENSTOCK_TRY_VOID(m_sink(m_buffer));
        m_buffer.clear();
        return {};
    }
    void string(std::string_view text) { appendNarString(m_buffer, text); }

    Result<void> beginNode(std::string_view name, std::string_view type)
    {
        PENSTOCK_TRY_VOID(checkNoFile());
        if (m_previous.size() == kMaxNarNesting)
            return bad(fmt::format("'{}' lies {} levels deep; the limit is {}", toValidUtf8(name),
                                   m_previous.size() + 1, kMaxNarNesting));
        if (m_previous.empty()) {
            if (m_hasRoot)
                return bad(fmt::format("'{}' comes after the root has ended", toValidUtf8(name)));
            if (!name.empty())
                return bad(fmt::format("the root has no name, but '{}' was given", toValidUtf8(name)));
            m_hasRoot = true;
            string(kNarMagic);
        } else {
            PENSTOCK_TRY_VOID(checkEntry(name));
            m_previous.back().assign(name);
            string("entry");
            string("(");
            string("name");
            string(name);
            string("node");
        }
        string("(");
        string("type");
        string(type);
        return {};
    }
    [[nodiscard]] Result<void> checkEntry(std::string_view name) const
    {
        if (name.size() > kMaxNarName)
            return bad(fmt::format("a name of {} bytes; the limit is {}", name.size(), kMaxNarName));
        if (const std::string fault = narNameFault(name); !fault.empty())
            return bad(fault);
        if (const std::string fault = narOrderFault(m_previous.back(), name); !fault.empty())
            return bad(fault);
        return {};
    }
    void endFile()
    {
        m_isFileOpen = false;
        m_buffer.append(m_padding, '\0');
        endNode();
    }
    void endNode()
    {
        string(")");
        if (!m_previous.empty())
            string(")");
    }

    ByteSink m_sink;
    std::string m_buffer;
    std::vector<std::string> m_previous; // of each open directory, the name of its latest entry
    std::uint64_t m_remaining = 0;       // content bytes of the open file
    std::size_t m_padding = 0;
    bool m_isFileOpen = false;
    bool m_hasRoot = false;
    std::optional<Error> m_failure; // an archive that failed stays so
};

NarWriter::NarWriter(ByteSink sink) : m_state(std::make_unique<State>(std::move(sink))) {}
NarWriter::~NarWriter() = default;
NarWriter::NarWriter(NarWriter&&) noexcept = default;
NarWriter& NarWriter::operator=(NarWriter&&) noexcept = default;

Result<void> NarWriter::beginDirectory(std::string_view name)
{
    return m_state->run([&](State& state) { return state.beginDirectory(name); });
}

Result<void> NarWriter::endDirectory()
{
    return m_state->run([](State& state) { return state.endDirectory(); });
}

Result<void> NarWriter::symlink(std::string_view name, std::string_view target)
{
    return m_state->run([&](State& state) { return state.symlink(name, target); });
}

Result<void> NarWriter::beginFile(std::string_view name, std::uint64_t size, bool isExecutable)
{
    return m_state->run([&](State& state) { return state.beginFile(name, size, isExecutable); });
}

Result<void> NarWriter::content(std::string_view bytes)
{
    return m_state->run([&](State& state) { return state.content(bytes); });
}

Result<void> NarWriter::finish()
{
    return m_state->run([](State& state) { return state.finish(); });
}

} // namespace penstock::nix
