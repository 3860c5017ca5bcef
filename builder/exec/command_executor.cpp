// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/command_executor.h"

#include "builder/exec/child_process.h"
#include "builder/exec/descendants.h"
#include "shared/base/text.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::builder {
namespace {

constexpr std::string_view kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::string_view kMemoryVariable = "PENSTOCK_MEMORY_BYTES";
constexpr std::string_view kResourcePrefix = "PENSTOCK_RESOURCE_";
constexpr std::size_t kReadBytes = 64U << 10U;
constexpr int kReadsPerTurn = 4; // then others get their turn
constexpr int kExitNotFound = 127;
constexpr int kExitNotExecutable = 126;

Duration toDuration(const timeval& value)
{
    return std::chrono::seconds(value.tv_sec) + Duration(value.tv_usec);
}

// What is not said was not granted, whatever the job's own env says.
void addGranted(const protocol::Assignment& assignment, std::map<std::string, std::string>& to)
{
    std::erase_if(to, [](const auto& entry) {
        return entry.first == kMemoryVariable || entry.first.starts_with(kResourcePrefix);
    });
    to.insert_or_assign("PENSTOCK_CPUS", std::to_string(std::max(assignment.cpus, 1U)));
    if (assignment.memoryBytes > 0)
        to.emplace(kMemoryVariable, std::to_string(assignment.memoryBytes));
    for (const auto& [name, amount] : assignment.resources)
        to.emplace(resourceVariable(name), std::to_string(amount));
}

class RunningCommand final : public Running {
public:
    RunningCommand(ExecLoop& loop, std::set<pid_t>& mains, const AttemptSpec& spec, AttemptSink& sink)
        : m_loop(loop), m_mains(mains), m_sink(sink), m_folder(spec.folder)
    {
        begin(spec);
    }
    RunningCommand(const RunningCommand&) = delete;
    RunningCommand& operator=(const RunningCommand&) = delete;
    ~RunningCommand() override
    {
        cancelTimer();
        closePipe(m_out);
        closePipe(m_err);
        if (!m_child)
            return;
        m_loop.unwatch(m_child->pidfd.get());
        killGroup(SIGKILL);
        ::waitpid(m_child->pid, nullptr, 0); // killed: ends without delay
        m_mains.erase(m_child->pid);
    }

    void stop(Duration grace) override;
    void setReading(bool reading) override;
    [[nodiscard]] pid_t session() const override { return m_child ? m_child->pid : 0; }

private:
    struct Pipe {
        FileHandle fd;
        protocol::Stream stream = protocol::Stream::Out;
        bool watched = false;
    };

    void begin(const AttemptSpec& spec);
    void failLater(const Error& error);
    void open(Pipe& pipe, FileHandle fd, protocol::Stream stream);
    void watchPipe(Pipe& pipe);
    void closePipe(Pipe& pipe);
    void onReadable(Pipe& pipe);
    // False when the pipe is at its end or empty for now.
    bool readOnce(Pipe& pipe);
    void drain(Pipe& pipe);
    void onMainEnded();
    void endDescendants();
    void onPipesGone();
    void finish();
    void killGroup(int signal) const { ::kill(-m_child->pid, signal); }
    void arm(Duration after, void (RunningCommand::*step)());
    void cancelTimer();
    void killByForce() { killGroup(SIGKILL); }
    [[nodiscard]] bool pipesOpen() const { return m_out.fd.isOpen() || m_err.fd.isOpen(); }
    void killOrphans();

    ExecLoop& m_loop;
    std::set<pid_t>& m_mains;
    AttemptSink& m_sink;
    std::string m_folder;
    std::optional<ChildProcess> m_child; // until it is reaped
    Pipe m_out;
    Pipe m_err;
    bool m_reading = true;
    bool m_mainEnded = false;
    std::optional<AttemptExit> m_failed; // could not be started
    std::optional<Loop::TimerId> m_timer;
};

void RunningCommand::begin(const AttemptSpec& spec)
{
    const auto& work = std::get<protocol::CommandWork>(spec.assignment.work);
    ChildSpec child{{}, work.argv, commandEnvironment(spec), spec.folder};
    auto program = findProgram(work.argv.front(), environmentValue(child.environment, "PATH"), spec.folder);
    if (!program)
        return failLater(program.error());
    child.program = *std::move(program);
    auto started = startChild(child);
    if (!started)
        return failLater(started.error());
    m_child = *std::move(started);
    m_mains.insert(m_child->pid);
    open(m_out, std::move(m_child->out), protocol::Stream::Out);
    open(m_err, std::move(m_child->err), protocol::Stream::Err);
    m_sink.onPhase("building");
    m_loop.watch(m_child->pidfd.get(), EPOLLIN, [this](std::uint32_t) { onMainEnded(); });
}

void RunningCommand::failLater(const Error& error)
{
    AttemptExit exit;
    exit.error = error.message;
    if (error.code != ErrorCode::Unavailable) {
        exit.outcome = protocol::Outcome::Failed;
        exit.exitCode = error.code == ErrorCode::NotFound ? kExitNotFound : kExitNotExecutable;
    }
    m_failed = std::move(exit);
    arm(Duration{0}, &RunningCommand::finish); // the sink must not be called from within start()
}

void RunningCommand::open(Pipe& pipe, FileHandle fd, protocol::Stream stream)
{
    pipe.fd = std::move(fd);
    pipe.stream = stream;
    watchPipe(pipe);
}

void RunningCommand::watchPipe(Pipe& pipe)
{
    if (pipe.watched || !pipe.fd.isOpen())
        return;
    pipe.watched = true;
    m_loop.watch(pipe.fd.get(), EPOLLIN, [this, &pipe](std::uint32_t) { onReadable(pipe); });
}

void RunningCommand::closePipe(Pipe& pipe)
{
    if (pipe.watched)
        m_loop.unwatch(pipe.fd.get());
    pipe.watched = false;
    pipe.fd.reset();
}

bool RunningCommand::readOnce(Pipe& pipe)
{
    static std::array<char, kReadBytes> buffer; // one exec loop, used within this call only
    const ssize_t got = ::read(pipe.fd.get(), buffer.data(), buffer.size());
    if (got > 0) {
        m_sink.onOutput(pipe.stream, {buffer.data(), static_cast<std::size_t>(got)});
        return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        closePipe(pipe);
    return false;
}

void RunningCommand::onReadable(Pipe& pipe)
{
    for (int i = 0; i < kReadsPerTurn && m_reading && readOnce(pipe); ++i) {
    }
    if (m_mainEnded && !pipesOpen())
        onPipesGone();
}

// What is in the pipe at the end belongs to the log, also when reading is paused; a pipe holds at most 1 MiB.
void RunningCommand::drain(Pipe& pipe)
{
    while (pipe.fd.isOpen() && readOnce(pipe)) {
    }
}

void RunningCommand::setReading(bool reading)
{
    if (m_reading == reading)
        return;
    m_reading = reading;
    for (Pipe* pipe : {&m_out, &m_err}) {
        if (reading) {
            watchPipe(*pipe);
        } else if (pipe->watched) {
            m_loop.unwatch(pipe->fd.get());
            pipe->watched = false;
        }
    }
}

void RunningCommand::stop(Duration grace)
{
    if (!m_child || m_mainEnded)
        return;
    if (grace <= Duration{0})
        return killByForce();
    killGroup(SIGTERM);
    killGroup(SIGCONT); // a stopped process could not act on it
    arm(grace, &RunningCommand::killByForce);
}

// The zombie is not reaped yet: that keeps its number, which is also the group's, from being given to others.
void RunningCommand::onMainEnded()
{
    m_mainEnded = true;
    cancelTimer();
    m_loop.unwatch(m_child->pidfd.get());
    if (m_reading) {
        for (Pipe* pipe : {&m_out, &m_err}) {
            if (pipe->fd.isOpen())
                readOnce(*pipe);
            if (pipe->fd.isOpen())
                readOnce(*pipe); // usually the end
        }
    }
    if (!pipesOpen())
        return onPipesGone();
    m_sink.onPhase("finishing");
    arm(kLinger, &RunningCommand::endDescendants);
}

void RunningCommand::endDescendants()
{
    killGroup(SIGKILL);
    killOrphans();
    drain(m_out);
    drain(m_err);
    if (!pipesOpen())
        return onPipesGone();
    setReading(true);
    arm(kPipeGiveUp, &RunningCommand::onPipesGone);
}

void RunningCommand::onPipesGone()
{
    cancelTimer();
    killGroup(SIGKILL);
    killOrphans();
    finish();
}

// A look at our own children costs two small reads; only when somebody was left to us is /proc gone through.
void RunningCommand::killOrphans()
{
    const std::vector<pid_t> orphans = adoptedOrphans(m_mains);
    if (orphans.empty())
        return;
    const pid_t main = m_child->pid;
    const bool alone = m_mains.size() == 1; // then an orphan without any mark can be of this attempt only
    const std::set<pid_t> ours(orphans.begin(), orphans.end());
    killMatching([&](const ProcessFacts& facts) {
        return facts.session == main || facts.group == main || carriesFolder(facts.pid, m_folder) ||
               (alone && ours.contains(facts.pid));
    });
    static_cast<void>(adoptedOrphans(m_mains)); // reaps
}

void RunningCommand::finish()
{
    AttemptExit exit;
    if (m_failed) {
        exit = std::move(*m_failed);
    } else {
        int status = 0;
        rusage usage = {};
        ::wait4(m_child->pid, &status, 0, &usage); // it has ended: no wait
        m_mains.erase(m_child->pid);
        m_child.reset();
        exit.exitCode = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        exit.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        exit.coreDumped = WIFSIGNALED(status) && WCOREDUMP(status);
        exit.outcome = status == 0 ? protocol::Outcome::Succeeded : protocol::Outcome::Failed;
        exit.cpuUser = toDuration(usage.ru_utime);
        exit.cpuSystem = toDuration(usage.ru_stime);
        exit.maxRssBytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    }
    closePipe(m_out);
    closePipe(m_err);
    m_sink.onExit(std::move(exit)); // may destroy this
}

void RunningCommand::arm(Duration after, void (RunningCommand::*step)())
{
    cancelTimer();
    m_timer = m_loop.postAt(SystemClock{}.now().mono + after, [this, step] {
        m_timer.reset();
        (this->*step)();
    });
}

void RunningCommand::cancelTimer()
{
    if (m_timer)
        m_loop.cancel(*m_timer);
    m_timer.reset();
}

} // namespace

std::unique_ptr<Running> CommandExecutor::start(const AttemptSpec& spec, AttemptSink& sink)
{
    m_loop.checkHere();
    return std::make_unique<RunningCommand>(m_loop, m_mains, spec, sink);
}

std::string resourceVariable(std::string_view name)
{
    std::string variable(kResourcePrefix);
    for (const char c : toLower(name)) {
        const bool isLetter = c >= 'a' && c <= 'z';
        variable += isLetter ? static_cast<char>(c - 'a' + 'A') : (c >= '0' && c <= '9') ? c : '_';
    }
    return variable;
}

std::vector<std::string> commandEnvironment(const AttemptSpec& spec)
{
    std::map<std::string, std::string> values{
        {"PATH", std::string(kDefaultPath)}, {"HOME", spec.folder}, {"TMPDIR", spec.temporary}};
    for (const auto& [name, value] : std::get<protocol::CommandWork>(spec.assignment.work).env)
        values.insert_or_assign(name, value);
    values.insert_or_assign("PENSTOCK_JOB_ID", std::to_string(spec.assignment.job.value()));
    values.insert_or_assign("PENSTOCK_ATTEMPT", std::to_string(spec.assignment.attemptNumber));
    values.insert_or_assign("PENSTOCK_MACHINE", spec.machineName);
    addGranted(spec.assignment, values);
    std::vector<std::string> result;
    result.reserve(values.size());
    for (const auto& [name, value] : values)
        result.push_back(fmt::format("{}={}", name, value));
    return result;
}

std::string environmentValue(const std::vector<std::string>& environment, std::string_view name)
{
    for (const std::string& entry : environment) {
        if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
            return entry.substr(name.size() + 1);
    }
    return {};
}

} // namespace penstock::builder
