// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/build/closure.h"

#include "shared/nix/aterm.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unordered_map>
#include <utility>

namespace penstock::client {

namespace {

constexpr std::size_t kMaxDerivationBytes = 32U << 20U;
constexpr std::size_t kMaxDerivations = 200'000; // as many as the server takes

class Descriptor {
public:
    explicit Descriptor(int number) : m_number(number) {}
    ~Descriptor()
    {
        if (m_number >= 0)
            ::close(m_number);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int number() const { return m_number; }

private:
    int m_number;
};

tl::unexpected<Error> unreadable(const std::string& path, int number)
{
    return fail(number == ENOENT ? ErrorCode::NotFound : ErrorCode::Unavailable,
                fmt::format("cannot read derivation {}: {}", path, std::strerror(number)));
}

Result<void> skipStrings(nix::AtermReader& reader, unsigned count)
{
    for (unsigned at = 0; at < count; ++at) {
        PENSTOCK_TRY_VOID(reader.expect(at == 0 ? "(" : ","));
        PENSTOCK_TRY(const auto text, reader.string());
    }
    return reader.expect(")");
}

Result<void> readString(nix::AtermReader& reader, std::vector<std::string>& into)
{
    PENSTOCK_TRY(auto text, reader.string());
    into.push_back(std::move(text));
    return {};
}

Result<void> readInputDerivation(nix::AtermReader& reader, std::vector<std::string>& into)
{
    PENSTOCK_TRY_VOID(reader.expect("("));
    PENSTOCK_TRY_VOID(readString(reader, into));
    PENSTOCK_TRY_VOID(reader.expect(","));
    std::vector<std::string> outputs;
    const auto readOutput = [&] { return readString(reader, outputs); };
    PENSTOCK_TRY_VOID(reader.list(readOutput));
    return reader.expect(")");
}

// A depth-first walk on a stack of its own, as closures are deep.
class Walk {
public:
    Walk(const nix::StoreDir& dir, const DerivationReader& read) : m_dir(dir), m_read(read) {}

    Result<void> from(const std::string& root)
    {
        PENSTOCK_TRY_VOID(enter(root));
        while (!m_open.empty()) {
            auto& top = m_open.back();
            if (top.next < top.below.size()) {
                PENSTOCK_TRY_VOID(enter(std::move(top.below[top.next++])));
                continue;
            }
            m_closure.derivations.push_back(std::move(top.path));
            m_closure.sizes.push_back(top.size);
            m_closure.bytes += top.size;
            m_open.pop_back();
        }
        return {};
    }
    Closure take()
    {
        auto& sources = m_closure.sources;
        for (const auto& path : m_sources)
            sources.push_back(path.print(m_dir));
        return std::move(m_closure);
    }

private:
    struct Visit {
        std::string path;
        std::uint32_t size;
        std::vector<std::string> below;
        std::size_t next = 0;
    };

    Result<void> enter(std::string path)
    {
        PENSTOCK_TRY(auto known, nix::StorePath::parse(m_dir, path));
        if (!m_seen.emplace(std::move(known), true).second)
            return {};
        if (m_seen.size() > kMaxDerivations)
            return fail(ErrorCode::Exhausted,
                        fmt::format("more than {} derivations in one build; split it", kMaxDerivations));
        PENSTOCK_TRY(const auto text, m_read(path));
        auto needs = needsOf(text);
        if (!needs)
            return fail(std::move(needs).error().in(path));
        for (const auto& source : needs->sources) {
            PENSTOCK_TRY(auto parsed, nix::StorePath::parse(m_dir, source));
            m_sources.insert(std::move(parsed));
        }
        m_open.push_back({std::move(path), static_cast<std::uint32_t>(text.size()), std::move(needs->derivations)});
        return {};
    }

    const nix::StoreDir& m_dir;
    const DerivationReader& m_read;
    std::unordered_map<nix::StorePath, bool> m_seen;
    nix::StorePathSet m_sources;
    std::vector<Visit> m_open;
    Closure m_closure;
};

} // namespace

Result<std::string> readDerivationFile(const std::string& path)
{
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (file.number() < 0)
        return unreadable(path, errno);
    struct stat status {};
    if (::fstat(file.number(), &status) != 0)
        return unreadable(path, errno);
    if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) > kMaxDerivationBytes)
        return fail(ErrorCode::Invalid,
                    fmt::format("derivation {} has {} bytes and must be a file of at most {}", path, status.st_size,
                                kMaxDerivationBytes));
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    for (std::size_t at = 0; at < text.size();) {
        const auto got = ::read(file.number(), text.data() + at, text.size() - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return unreadable(path, got < 0 ? errno : EIO);
        at += static_cast<std::size_t>(got);
    }
    return text;
}

Result<Needs> needsOf(std::string_view text)
{
    Needs needs;
    nix::AtermReader reader(text);
    if (!reader.take("Derive("))
        return fail(ErrorCode::Invalid, "is not a derivation that this version can build (those with outputs of "
                                        "derivations made during the build are not)");
    const auto skipOutput = [&] { return skipStrings(reader, 4); };
    const auto readInput = [&] { return readInputDerivation(reader, needs.derivations); };
    const auto readSource = [&] { return readString(reader, needs.sources); };
    PENSTOCK_TRY_VOID(reader.list(skipOutput));
    PENSTOCK_TRY_VOID(reader.expect(","));
    PENSTOCK_TRY_VOID(reader.list(readInput));
    PENSTOCK_TRY_VOID(reader.expect(","));
    PENSTOCK_TRY_VOID(reader.list(readSource));
    return needs;
}

Result<Closure> readClosure(const nix::StoreDir& dir, const std::vector<Root>& roots, const DerivationReader& read)
{
    Walk walk(dir, read);
    for (const auto& root : roots)
        PENSTOCK_TRY_VOID(walk.from(root.drv));
    return walk.take();
}

} // namespace penstock::client
