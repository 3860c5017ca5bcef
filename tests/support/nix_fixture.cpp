// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/nix_fixture.h"

#include "shared/base/check.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/nix/modulo.h"
#include "shared/nixdaemon/daemon_connection.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

std::string readWhole(const fs::path& path)
{
    std::ifstream in(path, std::ios::binary);
    std::ostringstream content;
    content << in.rdbuf();
    return content.str();
}

std::vector<std::string> mergedEnvironment(const std::map<std::string, std::string>& changes)
{
    std::vector<std::string> merged;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const std::string_view key = text.substr(0, text.find('='));
        if (!key.starts_with("NIX_") && !changes.contains(std::string(key)))
            merged.emplace_back(text);
    }
    for (const auto& [key, value] : changes)
        merged.push_back(fmt::format("{}={}", key, value));
    return merged;
}

std::vector<char*> pointersTo(std::vector<std::string>& texts)
{
    std::vector<char*> pointers;
    for (std::string& text : texts)
        pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

Result<int> spawn(std::vector<std::string> argv, const std::map<std::string, std::string>& changes,
                  const std::string& outFile, const std::string& errorFile)
{
    std::vector<std::string> environment = mergedEnvironment(changes);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, outFile.c_str(), kFlags, 0600);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errorFile.c_str(), kFlags, 0600);
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, argv.front().c_str(), &actions, nullptr, pointersTo(argv).data(),
                                     pointersTo(environment).data());
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return fail(ErrorCode::Internal,
                    fmt::format("cannot run {}: {}", argv.front(), std::generic_category().message(error)));
    return pid;
}

// All processes below pid, by the parent that /proc names.
std::vector<int> descendantsOf(int pid)
{
    std::multimap<int, int> children;
    std::error_code error;
    for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
        const auto number = parseUnsigned(it->path().filename().string());
        if (!number)
            continue;
        const std::string stat = readWhole(it->path() / "stat");
        const std::size_t close = stat.rfind(')'); // "PID (name) state PPID …"
        const auto fields = close == std::string::npos ? std::vector<std::string_view>{}
                                                       : split(std::string_view(stat).substr(close + 2), ' ');
        const auto parent = fields.size() > 1 ? parseUnsigned(fields[1]) : 0;
        if (parent)
            children.emplace(static_cast<int>(*parent), static_cast<int>(*number));
    }
    std::vector<int> found{pid};
    for (std::size_t i = 0; i < found.size(); ++i) {
        const auto [first, last] = children.equal_range(found[i]);
        for (auto it = first; it != last; ++it)
            found.push_back(it->second);
    }
    found.erase(found.begin());
    return found;
}

void makeWritable(const fs::path& root)
{
    std::error_code error;
    fs::permissions(root, fs::perms::owner_all, fs::perm_options::add, error);
    for (fs::recursive_directory_iterator it(root, error), end; !error && it != end; it.increment(error))
        if (it->is_directory(error) && !it->is_symlink(error))
            fs::permissions(it->path(), fs::perms::owner_all, fs::perm_options::add, error);
}

} // namespace

NixFixture::NixFixture(std::string root, nix::StoreDir storeDir, NixFixtureOptions options)
    : m_root(std::move(root)),
      m_socketPath(m_root + "/socket"),
      m_storeDir(std::move(storeDir)),
      m_options(std::move(options))
{
    m_environment = {
        {"NIX_STORE_DIR", m_storeDir.text()},
        {"NIX_STATE_DIR", m_root + "/state"},
        {"NIX_LOG_DIR", m_root + "/log"},
        {"NIX_CONF_DIR", m_root + "/conf"},
        {"NIX_USER_CONF_FILES", m_root + "/conf/nix.conf"},
        {"NIX_DAEMON_SOCKET_PATH", m_socketPath},
        {"NIX_REMOTE", "unix://" + m_socketPath},
        // A client's settings win over the daemon's, so clients get only what they need themselves.
        {"NIX_CONFIG", "experimental-features = nix-command"},
        {"HOME", m_root + "/home"},
        {"XDG_CACHE_HOME", m_root + "/cache"}};
    if (m_options.isChroot)
        for (const char* name : {"NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_LOG_DIR"})
            m_environment.erase(name);
}

std::string NixFixture::realPath(const nix::StorePath& path) const
{
    return (m_options.isChroot ? m_root + "/chroot" : std::string()) + path.print(m_storeDir);
}

std::string NixFixture::localStore() const
{
    return m_options.isChroot ? m_root + "/chroot" : "local";
}

Result<std::unique_ptr<NixFixture>> NixFixture::start(NixFixtureOptions options)
{
    std::string root = "/tmp/penstock-nix-XXXXXX"; // short, as sockets need
    if (::mkdtemp(root.data()) == nullptr)
        return fail(ErrorCode::Internal, "mkdtemp failed");
    auto storeDir = nix::StoreDir::standard();
    if (!options.isChroot) {
        PENSTOCK_TRY(storeDir, nix::StoreDir::parse(root + "/store"));
    }
    std::unique_ptr<NixFixture> fixture(new NixFixture(root, std::move(storeDir), std::move(options)));
    std::error_code error;
    for (const char* name : {"store", "state", "log", "conf", "home", "cache", "tmp"})
        if (!fs::create_directory(fs::path(root) / name, error))
            return fail(ErrorCode::Internal,
                        fmt::format("cannot make {}/{}: {}", root, name, error.message()));
    PENSTOCK_TRY_VOID(fixture->startDaemon());
    return fixture;
}

Result<void> NixFixture::startDaemon()
{
    std::map<std::string, std::string> environment = m_environment;
    // Without "local" a daemon may take its own socket for its store, and start daemons without end.
    environment["NIX_REMOTE"] = localStore();
    environment["TMPDIR"] = m_root + "/tmp";
    environment["NIX_CONFIG"] =
        fmt::format("experimental-features = nix-command\nsubstituters =\nbuilders =\n"
                    "build-users-group =\nsandbox = false\nsystem-features = benchmark\n"
                    "max-jobs = 4\ntrusted-users = {}\n{}\n",
                    m_options.isTrusted ? "*" : "", m_options.extraConfig);
    const std::string log = m_root + "/daemon.log";
    // A test that dies takes its daemon along.
    PENSTOCK_TRY(m_pid,
                 spawn({"setpriv", "--pdeathsig", "TERM", "nix-daemon"}, environment, "/dev/null", log));
    const SystemClock clock;
    const Instant deadline = clock.now().mono + std::chrono::seconds(30);
    nixdaemon::DaemonOptions options;
    options.storeDir = m_storeDir;
    for (;;) {
        const auto connection = nixdaemon::DaemonConnection::open(m_socketPath, options);
        if (connection)
            return {};
        if (::waitpid(m_pid, nullptr, WNOHANG) == m_pid) {
            m_pid = -1;
            return fail(ErrorCode::Unavailable, "nix-daemon ended at once: " + readWhole(log));
        }
        if (clock.now().mono > deadline)
            return fail(ErrorCode::Timeout, fmt::format("nix-daemon does not answer: {}; its log: {}",
                                                        connection.error().message, readWhole(log)));
        ::poll(nullptr, 0, 5);
    }
}

void NixFixture::kill()
{
    if (m_pid < 0)
        return;
    const std::vector<int> others = descendantsOf(m_pid);
    ::kill(m_pid, SIGKILL);
    for (const int pid : others)
        ::kill(pid, SIGKILL);
    while (::waitpid(m_pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    m_pid = -1;
}

Result<void> NixFixture::restart()
{
    kill();
    return startDaemon();
}

NixFixture::~NixFixture()
{
    kill();
    std::error_code error;
    makeWritable(m_root);
    fs::remove_all(m_root, error); // best effort: a temporary directory
}

Result<std::string> NixFixture::run(const std::vector<std::string>& argv) const
{
    const std::string out = m_root + "/tmp/run.out";
    const std::string errors = m_root + "/tmp/run.err";
    PENSTOCK_TRY(const int pid, spawn(argv, m_environment, out, errors));
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return fail(ErrorCode::Internal, "waitpid failed");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail(ErrorCode::Invalid, fmt::format("{} failed: {}", argv.front(), readWhole(errors)));
    return readWhole(out);
}

TestDerivation makeDerivation(const nix::StoreDir& dir, const TestDerivationSpec& spec)
{
    nix::Derivation drv;
    drv.name = spec.name;
    drv.platform = spec.platform;
    drv.builder = "/bin/sh";
    drv.arguments = {"-c", spec.script};
    drv.environment = spec.environment;
    drv.environment["name"] = spec.name;
    nix::ModuloHashes hashes(dir);
    for (const TestDerivation& input : spec.inputs) {
        PENSTOCK_CHECK(hashes.add(input.path, input.drv).has_value());
        for (const auto& [name, output] : input.drv.outputs)
            drv.inputDerivations[input.path].outputs.insert(name);
    }
    for (const std::string& output : spec.outputs) {
        drv.outputs[output];
        drv.environment[output] = "";
    }
    const auto modulo = hashes.masked(drv);
    PENSTOCK_CHECK(modulo.has_value());
    for (auto& [name, output] : drv.outputs) {
        output.path = nix::computeOutputPath(dir, spec.name, name, modulo->hash).value();
        drv.environment[name] = output.path->print(dir);
    }
    const auto path = nix::computeDerivationPath(dir, drv);
    PENSTOCK_CHECK(path.has_value());
    return {*path, drv};
}

} // namespace penstock::test
