// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixstore/cli_store.h"

#include "shared/base/text.h"
#include "shared/nix/drv.h"
#include "shared/nixdaemon/nar_guard.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::nixstore {
namespace {

constexpr std::size_t kPathsAtOnce = 1000; // far below the limit of a command line
constexpr std::size_t kMaxAnswer = 256U << 20U;
constexpr std::size_t kPiece = 64U << 10U;
constexpr const char* kInputPath = "/proc/self/fd/3"; // ToolCommand::hasInput

std::string describe(int error)
{
    return std::generic_category().message(error);
}

std::vector<std::vector<std::string>> inParts(const nix::StoreDir& dir, const nix::StorePathSet& paths)
{
    std::vector<std::vector<std::string>> parts;
    for (const nix::StorePath& path : paths) {
        if (parts.empty() || parts.back().size() == kPathsAtOnce)
            parts.emplace_back();
        parts.back().push_back(path.print(dir));
    }
    return parts;
}

std::vector<std::string> joined(std::vector<std::string> first, const std::vector<std::string>& second)
{
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

// A binary cache of one path in a directory of its own, removed at the end.
class OnePathCache {
public:
    static Result<OnePathCache> create(const std::string& parent)
    {
        std::string root = parent + "/penstock-path-XXXXXX";
        if (::mkdtemp(root.data()) == nullptr)
            return fail(ErrorCode::Unavailable,
                        fmt::format("cannot make a directory in {}: {}", parent, describe(errno)));
        OnePathCache cache(std::move(root));
        if (::mkdir((cache.m_root + "/nar").c_str(), 0700) != 0)
            return fail(ErrorCode::Unavailable,
                        fmt::format("cannot make {}/nar: {}", cache.m_root, describe(errno)));
        return cache;
    }
    OnePathCache(OnePathCache&& other) noexcept
        : m_root(std::exchange(other.m_root, {})), m_files(std::move(other.m_files))
    {}
    OnePathCache& operator=(OnePathCache&&) = delete;
    ~OnePathCache()
    {
        if (m_root.empty())
            return;
        for (const std::string& file : m_files)
            ::unlink(file.c_str());
        ::rmdir((m_root + "/nar").c_str());
        ::rmdir(m_root.c_str());
    }

    [[nodiscard]] const std::string& root() const { return m_root; }
    [[nodiscard]] std::string narPath() const { return m_root + "/nar/path.nar"; }
    Result<void> describePath(const nix::StoreDir& dir, nix::NarInfo info)
    {
        info.url = "nar/path.nar";
        info.compression = "none";
        PENSTOCK_TRY_VOID(write(m_root + "/nix-cache-info", fmt::format("StoreDir: {}\n", dir.text())));
        return write(fmt::format("{}/{}.narinfo", m_root, info.path.digest()), nix::printNarInfo(dir, info));
    }
    Result<void> narFromPipe()
    {
        m_files.push_back(narPath());
        if (::symlink(kInputPath, narPath().c_str()) != 0)
            return fail(ErrorCode::Unavailable,
                        fmt::format("cannot make {}: {}", narPath(), describe(errno)));
        return {};
    }
    Result<void> write(const std::string& path, std::string_view content)
    {
        m_files.push_back(path);
        const nixdaemon::FileDescriptor file(
            ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        while (file.isOpen() && !content.empty()) {
            const ssize_t size = ::write(file.number(), content.data(), content.size());
            if (size < 0 && errno != EINTR)
                return fail(ErrorCode::Unavailable,
                            fmt::format("cannot write {}: {}", path, describe(errno)));
            content.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
        }
        if (!file.isOpen())
            return fail(ErrorCode::Unavailable, fmt::format("cannot write {}: {}", path, describe(errno)));
        return {};
    }

private:
    explicit OnePathCache(std::string root) : m_root(std::move(root)) {}
    std::string m_root;
    std::vector<std::string> m_files;
};

// The archive as a whole: of a .drv only, whose size is bounded.
Result<std::string> readWhole(const nix::NarInfo& info, const ByteSource& nar)
{
    constexpr std::size_t kLimit = nix::kMaxDerivationBytes + 4096;
    if (info.narSize > kLimit)
        return fail(ErrorCode::Exhausted,
                    fmt::format("{} has {} bytes; at most {} are taken for a derivation",
                                info.path.baseName(), info.narSize, kLimit));
    nixdaemon::NarGuard guard(info.narHash, info.narSize);
    std::string whole;
    std::vector<char> piece(kPiece);
    for (;;) {
        PENSTOCK_TRY(const std::size_t size, nar(piece));
        if (size == 0)
            break;
        PENSTOCK_TRY_VOID(guard.push(std::string_view(piece.data(), size)));
        whole.append(piece.data(), size);
    }
    PENSTOCK_TRY_VOID(guard.finish());
    return whole;
}

} // namespace

ToolCommand CliStore::command(std::string_view tool, std::vector<std::string> arguments) const
{
    ToolCommand result{{std::string(tool)}, m_options.environment, false};
    if (tool == "nix")
        result.argv.insert(result.argv.end(), {"--extra-experimental-features", "nix-command"});
    if (!m_options.store.empty())
        result.argv.insert(result.argv.end(), {"--store", m_options.store});
    result.argv.insert(result.argv.end(), arguments.begin(), arguments.end());
    return result;
}

Error CliStore::classify(Error error) const
{
    if (error.code != ErrorCode::Invalid)
        return error;
    const auto answered = outputOf(command("nix", {"store", "ping"}), m_interrupt, kMaxAnswer);
    if (!answered)
        error.code =
            answered.error().code == ErrorCode::Cancelled ? ErrorCode::Cancelled : ErrorCode::Unavailable;
    return error;
}

Result<std::string> CliStore::run(const ToolCommand& command) const
{
    auto output = outputOf(command, m_interrupt, kMaxAnswer);
    if (!output)
        return fail(classify(std::move(output.error())));
    return output;
}

Result<nix::StorePathSet> CliStore::validPaths(const nix::StorePathSet& paths, bool substitute)
{
    nix::StorePathSet valid = paths;
    for (const auto& part : inParts(storeDir(), paths)) {
        PENSTOCK_TRY(const std::string missing,
                     run(command("nix-store", joined({"--check-validity", "--print-invalid"}, part))));
        for (const std::string_view line : split(missing, '\n')) {
            if (line.empty())
                continue;
            PENSTOCK_TRY(const nix::StorePath path, nix::StorePath::parse(storeDir(), line));
            valid.erase(path);
        }
    }
    nix::StorePathSet wanted;
    for (const nix::StorePath& path : paths)
        if (!valid.contains(path) && !path.isDerivation()) // a .drv would be built
            wanted.insert(path);
    if (!substitute || wanted.empty())
        return valid;
    for (const auto& part : inParts(storeDir(), wanted)) {
        const auto fetched = run(command("nix-store", joined({"--realise", "--keep-going"}, part)));
        if (!fetched && fetched.error().code != ErrorCode::Invalid)
            return fail(fetched.error()); // else it cannot have all of them
    }
    PENSTOCK_TRY(const nix::StorePathSet more, validPaths(wanted, false));
    valid.insert(more.begin(), more.end());
    return valid;
}

Result<std::vector<nix::NarInfo>> CliStore::infosOf(const std::vector<std::string>& paths,
                                                    bool areDerivations) const
{
    std::vector<std::string> arguments{"path-info", "--json"};
    if (areDerivations)
        arguments.emplace_back("--derivation"); // the file itself, not what it builds
    PENSTOCK_TRY(const std::string json, run(command("nix", joined(std::move(arguments), paths))));
    return parsePathInfos(storeDir(), json);
}

Result<std::vector<nix::NarInfo>> CliStore::infos(const nix::StorePathSet& paths)
{
    // Newer tools fail for the first path that is not valid, so they are asked for valid ones only.
    PENSTOCK_TRY(const nix::StorePathSet valid, validPaths(paths, false));
    nix::StorePathSet derivations;
    nix::StorePathSet others;
    for (const nix::StorePath& path : valid)
        (path.isDerivation() ? derivations : others).insert(path);
    std::vector<nix::NarInfo> all;
    for (const bool areDerivations : {false, true})
        for (const auto& part : inParts(storeDir(), areDerivations ? derivations : others)) {
            PENSTOCK_TRY(auto some, infosOf(part, areDerivations));
            std::move(some.begin(), some.end(), std::back_inserter(all));
        }
    return all;
}

Result<std::optional<nix::NarInfo>> CliStore::info(const nix::StorePath& path)
{
    PENSTOCK_TRY(auto found, infos({path}));
    if (found.empty())
        return std::nullopt;
    return std::move(found.front());
}

Result<void> CliStore::readNar(const nix::NarInfo& info, const ByteSink& sink)
{
    std::vector<std::string> arguments{"store", "dump-path", info.path.print(storeDir())};
    if (info.path.isDerivation())
        arguments.emplace_back("--derivation");
    PENSTOCK_TRY(ToolProcess process, ToolProcess::start(command("nix", std::move(arguments)), m_interrupt));
    nixdaemon::NarGuard guard(info.narHash, info.narSize);
    std::vector<char> piece(kPiece);
    std::uint64_t total = 0;
    for (;;) {
        PENSTOCK_TRY(const std::size_t size, process.read(piece));
        if (size == 0)
            break;
        const std::string_view bytes(piece.data(), size);
        auto good = guard.push(bytes);
        if (!good)
            return fail(std::move(good.error()).in(info.path.baseName()));
        PENSTOCK_TRY_VOID(sink(bytes));
        total += size;
    }
    auto ended = process.finish();
    if (!ended) {
        Error error = classify(std::move(ended.error()));
        if (error.code == ErrorCode::Invalid) {
            PENSTOCK_TRY(const auto valid, validPaths({info.path}, false));
            error.code = valid.empty() ? ErrorCode::NotFound : ErrorCode::Invalid;
        }
        return fail(std::move(error).in(fmt::format("{} after {} bytes", info.path.baseName(), total)));
    }
    auto whole = guard.finish();
    if (!whole)
        return fail(std::move(whole.error()).in(info.path.baseName()));
    return {};
}

Result<void> CliStore::addNar(const nix::NarInfo& info, const ByteSource& nar)
{
    // The tool would refuse with the same, but after it has read the whole archive, or not at all.
    PENSTOCK_TRY(OnePathCache cache, OnePathCache::create(m_options.temporaryDir));
    PENSTOCK_TRY_VOID(cache.describePath(storeDir(), info));
    if (!info.path.isDerivation()) {
        PENSTOCK_TRY_VOID(cache.narFromPipe());
        return copyFrom(cache.root(), info, nar);
    }
    // Of a .drv the tool reads the archive twice, which a pipe cannot.
    PENSTOCK_TRY(const std::string whole, readWhole(info, nar));
    PENSTOCK_TRY_VOID(cache.write(cache.narPath(), whole));
    return copyFrom(cache.root(), info, nullptr);
}

// nar: empty when the archive lies in the cache.
Result<void> CliStore::copyFrom(const std::string& cache, const nix::NarInfo& info,
                                const ByteSource& nar) const
{
    std::vector<std::string> arguments{"copy", "--no-check-sigs", "--no-recursive", "--from",
                                       "file://" + cache};
    if (info.path.isDerivation())
        arguments.emplace_back("--derivation");
    arguments.push_back(info.path.print(storeDir()));
    ToolCommand copy = command("nix", std::move(arguments));
    copy.hasInput = static_cast<bool>(nar);
    PENSTOCK_TRY(ToolProcess process, ToolProcess::start(copy, m_interrupt));
    if (nar) {
        nixdaemon::NarGuard guard(info.narHash, info.narSize);
        // One piece is kept back until the next is there: the last goes only when all was right.
        std::vector<char> piece(kPiece);
        std::vector<char> next(kPiece);
        std::size_t held = 0;
        for (bool isTaking = true; isTaking;) {
            PENSTOCK_TRY(const std::size_t size, nar(next));
            auto good = size == 0 ? guard.finish() : guard.push(std::string_view(next.data(), size));
            if (!good)
                return fail(std::move(good.error()).in(info.path.baseName()));
            PENSTOCK_TRY(isTaking, process.write(std::string_view(piece.data(), held)));
            std::swap(piece, next);
            held = size;
            isTaking = isTaking && size > 0;
        }
        process.closeInput();
    }
    auto ended = process.finish();
    if (!ended)
        return fail(classify(std::move(ended.error())).in(info.path.baseName()));
    return {};
}

Result<void> CliStore::addRoot(const nix::StorePath& path, const std::string& link)
{
    if (path.isDerivation())
        return fail(ErrorCode::Invalid,
                    fmt::format("{}: the nix tools would build it instead of holding it; hold what "
                                "it builds, or use the daemon",
                                path.baseName()));
    if (!link.starts_with('/') || link.starts_with(storeDir().text() + "/"))
        return fail(ErrorCode::Invalid, fmt::format("the root \"{}\" is no absolute path outside of {}", link,
                                                    storeDir().text()));
    PENSTOCK_TRY(const auto valid, validPaths({path}, false));
    if (valid.empty())
        return fail(ErrorCode::NotFound,
                    fmt::format("{} is not valid in the store, so it cannot be held", path.baseName()));
    PENSTOCK_TRY_VOID(
        run(command("nix-store", {"--realise", path.print(storeDir()), "--add-root", link, "--indirect"})));
    return {};
}

} // namespace penstock::nixstore
