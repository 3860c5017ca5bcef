// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/content_address.h"

#include "shared/nix/nar.h"

#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

// Offsets of the own digest that are kept, 8 bytes each. A real program has some thousands.
constexpr std::size_t kMaxSelfMentions = 4'000'000;

// The hash of bytes in which a word of the digest's length stands for itself (nix-formats 1.7).
class ModuloHasher {
public:
    ModuloHasher(HashAlgorithm algorithm, std::string digest)
        : m_hasher(algorithm), m_digest(std::move(digest))
    {}

    Result<void> push(std::string_view bytes)
    {
        m_window.append(bytes);
        for (std::size_t at = m_window.find(m_digest); at != std::string::npos;
             at = m_window.find(m_digest, at + m_digest.size())) {
            if (m_mentions.size() >= kMaxSelfMentions)
                return fail(ErrorCode::Exhausted,
                            fmt::format("mentions itself more than {} times; such a path is not checked",
                                        kMaxSelfMentions));
            m_mentions.push_back(m_offset + at);
            m_window.replace(at, m_digest.size(), m_digest.size(), '\0');
        }
        // What might be the beginning of a mention stays.
        if (m_window.size() >= m_digest.size())
            flush(m_window.size() - (m_digest.size() - 1));
        return {};
    }

    Hash finish() &&
    {
        flush(m_window.size());
        for (const std::uint64_t offset : m_mentions)
            m_hasher.update("|" + std::to_string(offset));
        return std::move(m_hasher).finish();
    }

private:
    void flush(std::size_t count)
    {
        m_hasher.update(std::string_view(m_window).substr(0, count));
        m_window.erase(0, count);
        m_offset += count;
    }

    Hasher m_hasher;
    std::string m_digest;
    std::string m_window;
    std::uint64_t m_offset = 0; // of the window's first byte
    std::vector<std::uint64_t> m_mentions;
};

// The NAR of a single file that is not executable: the only tree that a flat hash can speak for.
class FlatContent final : public NarVisitor {
public:
    explicit FlatContent(HashAlgorithm algorithm) : m_hasher(algorithm) {}

    Result<void> onDirectory(std::string_view) override { return noFile("a directory"); }
    Result<void> onSymlink(std::string_view, std::string_view) override { return noFile("a symbolic link"); }
    Result<void> onFile(std::string_view, const NarFile& file) override
    {
        return file.isExecutable ? noFile("executable") : Result<void>{};
    }
    Result<void> onContent(std::string_view bytes) override
    {
        m_hasher.update(bytes);
        return {};
    }
    Hash finish() && { return std::move(m_hasher).finish(); }

private:
    static Result<void> noFile(std::string_view what)
    {
        return fail(ErrorCode::Corrupt,
                    fmt::format("is {}; a text or flat content address is of an ordinary file", what));
    }

    Hasher m_hasher;
};

} // namespace

class ContentCheck::State {
public:
    State(const StorePath& path, const ContentAddress& address, bool isSelfReferring)
        : m_path(path), m_address(address)
    {
        const HashAlgorithm algorithm = address.hash.algorithm();
        if (address.method != AddressMethod::Recursive) {
            m_flat.emplace(algorithm);
            m_parser.emplace(*m_flat);
        } else if (isSelfReferring) {
            m_modulo.emplace(algorithm, std::string(path.digest()));
        } else {
            m_whole.emplace(algorithm);
        }
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    Result<void> push(std::string_view nar)
    {
        if (m_failure)
            return fail(*m_failure);
        auto taken = take(nar);
        if (!taken) {
            m_failure = std::move(taken.error()).in(m_path.baseName());
            return fail(*m_failure);
        }
        return {};
    }

    Result<void> finish()
    {
        if (m_failure)
            return fail(*m_failure);
        m_failure =
            Error{ErrorCode::Invalid, fmt::format("{}: its content was checked before", m_path.baseName())};
        if (m_parser) {
            if (auto whole = m_parser->finish(); !whole)
                return fail(std::move(whole.error()).in(m_path.baseName()));
        }
        const Hash found = m_flat     ? std::move(*m_flat).finish()
                           : m_modulo ? std::move(*m_modulo).finish()
                                      : std::move(*m_whole).finish();
        if (found != m_address.hash)
            return fail(ErrorCode::Corrupt,
                        fmt::format("{}: its content has the hash {}, not {} as its content address says",
                                    m_path.baseName(), found.prefixedBase32(),
                                    m_address.hash.prefixedBase32()));
        return {};
    }

private:
    Result<void> take(std::string_view nar)
    {
        if (m_modulo)
            return m_modulo->push(nar);
        if (m_whole) {
            m_whole->update(nar);
            return {};
        }
        PENSTOCK_TRY(const std::size_t used, m_parser->push(nar));
        if (used != nar.size())
            return fail(ErrorCode::Corrupt, "something follows the end of its NAR");
        return {};
    }

    StorePath m_path;
    ContentAddress m_address;
    std::optional<Error> m_failure;
    std::optional<FlatContent> m_flat;
    std::optional<NarParser> m_parser; // reports to m_flat
    std::optional<ModuloHasher> m_modulo;
    std::optional<Hasher> m_whole;
};

Result<ContentCheck> ContentCheck::begin(const StoreDir& dir, const StorePath& path,
                                         const ContentAddress& address, const StorePathSet& references)
{
    SourceReferences split{references, false};
    split.self = split.others.erase(path) > 0;
    PENSTOCK_TRY(const StorePath right, computeContentPath(dir, path.name(), address, split));
    if (right != path)
        return fail(ErrorCode::Corrupt, fmt::format("{}: its content address {} and references make it {}",
                                                    path.baseName(), address.print(), right.baseName()));
    return ContentCheck(std::make_unique<State>(path, address, split.self));
}

ContentCheck::ContentCheck(std::unique_ptr<State> state) : m_state(std::move(state)) {}
ContentCheck::~ContentCheck() = default;
ContentCheck::ContentCheck(ContentCheck&&) noexcept = default;
ContentCheck& ContentCheck::operator=(ContentCheck&&) noexcept = default;

Result<void> ContentCheck::push(std::string_view nar)
{
    return m_state->push(nar);
}

Result<void> ContentCheck::finish()
{
    return m_state->finish();
}

} // namespace penstock::nix
