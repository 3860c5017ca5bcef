// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/build/closure.h"

#include "shared/nix/aterm.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <utility>

namespace penstock::client {

namespace {

constexpr std::size_t kMaxDerivationBytes = 32U << 20U;
constexpr std::size_t kMaxDerivations = 200'000; // as many as the server takes
constexpr std::size_t kReaders = 8;
constexpr std::size_t kWorthThreads = 64; // files of a level

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

struct Found { // of one file
    std::uint32_t size = 0;
    Needs needs;
};

Result<Found> readOne(const DerivationReader& read, const std::string& path)
{
    PENSTOCK_TRY(const auto text, read(path));
    auto needs = needsOf(text);
    if (!needs)
        return fail(std::move(needs).error().in(path));
    return Found{static_cast<std::uint32_t>(text.size()), *std::move(needs)};
}

// Level by level, since a level's files can be read together: the time is the disk's, not ours.
class Walk {
public:
    Walk(const nix::StoreDir& dir, const DerivationReader& read) : m_dir(dir), m_read(read) {}

    Result<void> run(const std::vector<Root>& roots)
    {
        for (const auto& root : roots)
            PENSTOCK_TRY_VOID(enter(root.drv, nullptr));
        for (std::size_t done = 0; done < m_nodes.size();) {
            auto level = readLevel(done, m_nodes.size());
            for (auto& found : level)
                PENSTOCK_TRY_VOID(take(done++, std::move(found)));
        }
        return {};
    }

    // Dependencies first: depth first, on a stack of its own, as closures are deep.
    Closure take()
    {
        Closure closure;
        std::vector<std::pair<std::uint32_t, std::size_t>> open;
        std::vector<bool> seen(m_nodes.size(), false);
        for (std::uint32_t root = 0; root < m_nodes.size(); ++root) { // the roots are the first
            if (!seen[root])
                open.emplace_back(root, 0);
            seen[root] = true;
            while (!open.empty()) {
                auto& [at, next] = open.back();
                if (next < m_nodes[at].below.size()) {
                    const auto below = m_nodes[at].below[next++];
                    if (!seen[below])
                        open.emplace_back(below, 0);
                    seen[below] = true;
                    continue;
                }
                closure.derivations.push_back(std::move(m_nodes[at].path));
                closure.sizes.push_back(m_nodes[at].size);
                closure.bytes += m_nodes[at].size;
                open.pop_back();
            }
        }
        for (const auto& path : m_sources)
            closure.sources.push_back(path.print(m_dir));
        return closure;
    }

private:
    struct Node {
        std::string path;
        std::uint32_t size = 0;
        std::vector<std::uint32_t> below;
    };

    Result<void> enter(const std::string& path, Node* neededBy)
    {
        PENSTOCK_TRY(auto parsed, nix::StorePath::parse(m_dir, path));
        const auto [known, isNew] = m_places.try_emplace(std::move(parsed), static_cast<std::uint32_t>(m_nodes.size()));
        if (neededBy != nullptr)
            neededBy->below.push_back(known->second);
        if (!isNew)
            return {};
        if (m_nodes.size() >= kMaxDerivations)
            return fail(ErrorCode::Exhausted,
                        fmt::format("more than {} derivations in one build; split it", kMaxDerivations));
        m_nodes.push_back({path, 0, {}});
        return {};
    }

    Result<void> take(std::size_t at, Result<Found> found)
    {
        if (!found)
            return fail(std::move(found).error());
        Node node{std::move(m_nodes[at].path), found->size, {}};
        for (const auto& path : found->needs.derivations)
            PENSTOCK_TRY_VOID(enter(path, &node));
        for (const auto& source : found->needs.sources) {
            PENSTOCK_TRY(auto parsed, nix::StorePath::parse(m_dir, source));
            m_sources.insert(std::move(parsed));
        }
        m_nodes[at] = std::move(node);
        return {};
    }

    [[nodiscard]] std::vector<Result<Found>> readLevel(std::size_t from, std::size_t to) const
    {
        std::vector<Result<Found>> found(to - from);
        const auto readSlice = [&](std::size_t begin, std::size_t end) {
            for (auto at = begin; at < end; ++at)
                found[at] = readOne(m_read, m_nodes[from + at].path);
        };
        if (found.size() < kWorthThreads) {
            readSlice(0, found.size());
            return found;
        }
        std::vector<std::thread> readers; // each writes what no other one touches
        for (std::size_t reader = 0; reader < kReaders; ++reader)
            readers.emplace_back(readSlice, found.size() * reader / kReaders, found.size() * (reader + 1) / kReaders);
        for (auto& reader : readers)
            reader.join();
        return found;
    }

    const nix::StoreDir& m_dir;
    const DerivationReader& m_read;
    std::vector<Node> m_nodes;
    std::unordered_map<nix::StorePath, std::uint32_t> m_places;
    nix::StorePathSet m_sources;
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
    PENSTOCK_TRY_VOID(walk.run(roots));
    return walk.take();
}

} // namespace penstock::client
