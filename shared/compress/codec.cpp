// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/compress/codec.h"

#include "shared/compress/engine.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace penstock::compress {
namespace {

constexpr std::size_t kPieceBytes = 128U << 10U; // of output at a time

struct MethodWord {
    Method method;
    std::string_view word;
    std::string_view extension;
};
constexpr std::array<MethodWord, 6> kWords{{{Method::None, "none", ""},
                                            {Method::Xz, "xz", ".xz"},
                                            {Method::Bzip2, "bzip2", ".bz2"},
                                            {Method::Zstd, "zstd", ".zst"},
                                            {Method::Brotli, "br", ".br"},
                                            {Method::Gzip, "gzip", ""}}};

const MethodWord& wordOf(Method method)
{
    return *std::find_if(kWords.begin(), kWords.end(),
                         [method](const MethodWord& row) { return row.method == method; });
}

// Remembers the first error: a stream that failed once stays failed.
class Progress {
public:
    [[nodiscard]] Result<void> check() const
    {
        if (m_failure)
            return fail(*m_failure);
        return {};
    }
    Result<void> keep(Result<void> result)
    {
        if (!result)
            m_failure = result.error();
        return result;
    }
    void end(std::string_view what)
    {
        m_failure = Error{ErrorCode::Invalid, fmt::format("{} stream: was finished before", what)};
    }

private:
    std::optional<Error> m_failure;
};

class EngineEncoder final : public Encoder {
public:
    EngineEncoder(Method method, std::unique_ptr<Engine> engine)
        : m_method(method), m_engine(std::move(engine)), m_piece(kPieceBytes)
    {}

    Result<void> push(std::string_view bytes, const ByteSink& sink) override
    {
        PENSTOCK_TRY_VOID(m_progress.check());
        if (bytes.empty()) // some libraries take repeated calls without input for a mistake
            return {};
        return m_progress.keep(run(bytes, sink, false));
    }
    Result<void> finish(const ByteSink& sink) override
    {
        PENSTOCK_TRY_VOID(m_progress.check());
        PENSTOCK_TRY_VOID(m_progress.keep(run({}, sink, true)));
        m_progress.end(toString(m_method));
        return {};
    }

private:
    Result<void> run(std::string_view bytes, const ByteSink& sink, bool isLast)
    {
        for (;;) {
            PENSTOCK_TRY(const Step step, m_engine->step(bytes, m_piece, isLast));
            bytes.remove_prefix(step.consumed);
            if (step.produced > 0)
                PENSTOCK_TRY_VOID(sink(std::string_view(m_piece.data(), step.produced)));
            const bool isDone = isLast ? step.isWhole : bytes.empty() && step.produced < m_piece.size();
            if (isDone)
                return {};
            if (step.consumed == 0 && step.produced == 0)
                return fail(ErrorCode::Internal,
                            fmt::format("{} encoder: makes no progress", toString(m_method)));
        }
    }

    Method m_method;
    std::unique_ptr<Engine> m_engine;
    std::vector<char> m_piece;
    Progress m_progress;
};

class EngineDecoder final : public Decoder {
public:
    EngineDecoder(Method method, std::unique_ptr<Engine> engine, std::uint64_t limit)
        : m_method(method), m_engine(std::move(engine)), m_limit(limit), m_piece(kPieceBytes)
    {}

    Result<void> push(std::string_view bytes, const ByteSink& sink) override
    {
        PENSTOCK_TRY_VOID(m_progress.check());
        if (bytes.empty()) // some libraries take repeated calls without input for a mistake
            return {};
        return m_progress.keep(run(bytes, sink, false));
    }
    Result<void> finish(const ByteSink& sink) override
    {
        PENSTOCK_TRY_VOID(m_progress.check());
        PENSTOCK_TRY_VOID(m_progress.keep(run({}, sink, true)));
        if (!m_isWhole)
            return m_progress.keep(
                fail(ErrorCode::Corrupt,
                     fmt::format("{} stream: ends before its end, after {} bytes of content; fetch it again",
                                 toString(m_method), m_given)));
        m_progress.end(toString(m_method));
        return {};
    }

private:
    Result<void> run(std::string_view bytes, const ByteSink& sink, bool isLast)
    {
        for (;;) {
            // One byte more than allowed tells a stream that is too long from one that just fits.
            const std::uint64_t left = m_limit - m_given;
            const std::size_t room =
                left >= m_piece.size() ? m_piece.size() : static_cast<std::size_t>(left) + 1;
            PENSTOCK_TRY(const Step step, m_engine->step(bytes, std::span(m_piece).first(room), isLast));
            bytes.remove_prefix(step.consumed);
            if (step.consumed > 0 || step.produced > 0 || step.isWhole)
                m_isWhole = step.isWhole;
            if (step.produced > left)
                return fail(ErrorCode::Exhausted,
                            fmt::format("{} stream: has more content than the {} bytes that were announced "
                                        "or allowed",
                                        toString(m_method), m_limit));
            m_given += step.produced;
            if (step.produced > 0)
                PENSTOCK_TRY_VOID(sink(std::string_view(m_piece.data(), step.produced)));
            if (bytes.empty() && step.produced < room)
                return {};
            if (step.consumed == 0 && step.produced == 0)
                return fail(ErrorCode::Corrupt, fmt::format("{} stream: cannot be read on after {} bytes of "
                                                            "content",
                                                            toString(m_method), m_given));
        }
    }

    Method m_method;
    std::unique_ptr<Engine> m_engine;
    std::uint64_t m_limit;
    std::uint64_t m_given = 0;
    std::vector<char> m_piece;
    bool m_isWhole = false;
    Progress m_progress;
};

// Copies; any sequence of bytes, also none, is whole.
class PlainEngine final : public Engine {
public:
    Result<Step> step(std::string_view in, std::span<char> out, bool) override
    {
        const std::size_t count = std::min(in.size(), out.size());
        std::copy_n(in.begin(), count, out.begin());
        return Step{count, count, true};
    }
};

Result<std::unique_ptr<Engine>> encoderEngine(const EncoderOptions& options)
{
    switch (options.method) {
    case Method::None: return std::make_unique<PlainEngine>();
    case Method::Xz: return makeXzEncoder(options);
    case Method::Bzip2: return makeBzip2Encoder(options);
    case Method::Zstd: return makeZstdEncoder(options);
    case Method::Brotli: return makeBrotliEncoder(options);
    case Method::Gzip: break;
    }
    return fail(ErrorCode::Invalid, "compression gzip: is read only; write zstd, xz, bzip2, br or none");
}

Result<std::unique_ptr<Engine>> decoderEngine(Method method)
{
    switch (method) {
    case Method::None: return std::make_unique<PlainEngine>();
    case Method::Xz: return makeXzDecoder();
    case Method::Bzip2: return makeBzip2Decoder();
    case Method::Zstd: return makeZstdDecoder();
    case Method::Brotli: return makeBrotliDecoder();
    case Method::Gzip: return makeGzipDecoder();
    }
    return fail(ErrorCode::Invalid, "compression: unknown method");
}

} // namespace

Result<Method> parseMethod(std::string_view word)
{
    if (word.empty())
        return Method::Bzip2;
    for (const MethodWord& row : kWords)
        if (row.word == word)
            return row.method;
    std::string shown;
    for (const char c : word.substr(0, 40))
        shown.push_back(c >= ' ' && c <= '~' ? c : '?');
    return fail(
        ErrorCode::Invalid,
        fmt::format("compression \"{}\": is not known; none, xz, bzip2, zstd, br and gzip are", shown));
}

std::string_view toString(Method method)
{
    return wordOf(method).word;
}

std::string_view extension(Method method)
{
    return wordOf(method).extension;
}

Result<int> levelOf(const EncoderOptions& options, LevelScale scale)
{
    const int level = options.level.value_or(scale.usual);
    if (level < scale.lowest || level > scale.highest)
        return fail(ErrorCode::Invalid,
                    fmt::format("compression level {} of {}: must be from {} to {}", level,
                                toString(options.method), scale.lowest, scale.highest));
    return level;
}

Result<std::unique_ptr<Encoder>> makeEncoder(const EncoderOptions& options)
{
    PENSTOCK_TRY(std::unique_ptr<Engine> engine, encoderEngine(options));
    return std::make_unique<EngineEncoder>(options.method, std::move(engine));
}

Result<std::unique_ptr<Decoder>> makeDecoder(Method method, std::uint64_t maxOutputBytes)
{
    PENSTOCK_TRY(std::unique_ptr<Engine> engine, decoderEngine(method));
    return std::make_unique<EngineDecoder>(method, std::move(engine), maxOutputBytes);
}

} // namespace penstock::compress
