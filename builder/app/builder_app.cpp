// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/app/builder_app.h"

#include "builder/app/recovery.h"
#include "builder/exec/command_executor.h"
#include "builder/exec/descendants.h"
#include "builder/exec/nix_executor.h"

#include <fmt/format.h>
#include <future>

namespace penstock::builder {
namespace {

constexpr std::chrono::milliseconds kAbortTime{5'000};   // for killed attempts to be reported
constexpr std::chrono::milliseconds kDeliverTime{5'000}; // for the last logs after a drain

// Runs the task on the loop and waits: start-up and shut-down only.
void runAndWait(Loop& loop, Task task)
{
    std::promise<void> done;
    loop.post([&] {
        task();
        done.set_value();
    });
    done.get_future().wait();
}

} // namespace

Result<std::unique_ptr<BuilderApp>> BuilderApp::start(BuilderOptions options, Logger& logger,
                                                      std::function<void()> finished)
{
    PENSTOCK_TRY(WorkDirectory directory, WorkDirectory::open(options.workDirectory));
    PENSTOCK_TRY(std::string instance, randomHexId());
    GatheredFacts facts = gatherFacts(options);
    for (const std::string& note : facts.notes)
        logger.warning("executor.missing", {{"reason", note}});
    if (facts.facts.executors.empty())
        return fail(ErrorCode::Invalid, "none of the executors asked for works here; see --executors");

    Guardian::awaitFormer(directory);
    PENSTOCK_TRY(Journal journal, Journal::open(directory.journalPath(), bootId()));
    PENSTOCK_TRY(std::vector<RecoveredAttempt> recovered,
                 recoverAttempts(journal, directory, SystemClock{}.now().wall, logger));
    // Before any thread, and before orphans come to us: the guardian must not be taken for one that a job left.
    PENSTOCK_TRY(Guardian guardian, Guardian::start(directory));
    becomeSubreaper();
    std::unique_ptr<BuilderApp> app(new BuilderApp(std::move(options), std::move(directory), std::move(guardian),
                                                   std::move(facts), std::move(recovered), logger,
                                                   std::move(finished), std::move(instance)));
    PENSTOCK_TRY_VOID(app->buildHost(std::move(journal)));
    app->m_link.start();
    return app;
}

BuilderApp::BuilderApp(BuilderOptions options, WorkDirectory directory, Guardian guardian, GatheredFacts facts,
                       std::vector<RecoveredAttempt> recovered, Logger& logger, std::function<void()> finished,
                       std::string instance)
    : m_options(std::move(options)), m_directory(std::move(directory)), m_guardian(std::move(guardian)),
      m_logger(logger), m_finished(std::move(finished)), m_instance(std::move(instance)),
      m_serverUrl(std::make_shared<Latest<std::string>>(m_options.link.urls.front())), m_nix(std::move(facts.nix)),
      m_core(facts.facts, std::move(recovered)), m_probe(m_directory.path(), facts.facts.storeDir),
      m_watch(m_options.thresholds), m_cleaner("cleaner"), m_exec("exec"), m_link(m_options.link, linkEvents(), logger)
{
}

BuilderApp::~BuilderApp()
{
    runAndWait(m_exec, [this] { m_host.reset(); });
    runAndWait(m_cleaner, [] {}); // what it still measures is posted to m_exec
}

Result<NixMachine> BuilderApp::nixMachine() const
{
    curl::HttpClientOptions http;
    http.caFile = m_options.trust.authority;
    http.clientCertFile = m_options.trust.certificate;
    http.clientKeyFile = m_options.trust.key;
    http.userAgent = fmt::format("penstock-builder/{}", config::version());
    const auto server = [url = m_serverUrl] { return url->get(); };
    PENSTOCK_TRY(auto roads, openNixRoads({server, http, m_options.nix.socketPath, m_nix->storeDir,
                                           m_directory.path(), m_options.transfers}));
    return NixMachine{m_options.nix.socketPath, m_nix->storeDir, m_nix->trust, m_options.substitute,
                      m_nix->config.features.contains("ca-derivations"), std::move(roads)};
}

Result<void> BuilderApp::buildHost(Journal journal)
{
    std::optional<NixMachine> nix;
    if (m_nix) {
        PENSTOCK_TRY(nix, nixMachine());
    }
    auto shared = std::make_shared<Journal>(std::move(journal));
    runAndWait(m_exec, [&] {
        m_host = std::make_unique<AttemptHost>(
            m_exec, m_cleaner, std::move(*shared), m_logger,
            HostSettings{m_options.name, m_directory.attemptsPath(), m_directory.logsPath()}, hostEvents());
        m_host->addExecutor(std::make_unique<CommandExecutor>(m_exec));
        if (nix)
            m_host->addExecutor(std::make_unique<NixExecutor>(
                m_exec, NixExecutorOptions{*std::move(nix), m_core.facts().maxJobs}, m_clock));
        m_host->adoptLogs();
    });
    return {};
}

// Called on the exec loop; everything goes over to the main loop as values. Tasks that are still waiting when this
// object goes are dropped with the loop.
HostEvents BuilderApp::hostEvents()
{
    return {
        [this](protocol::AttemptResult result) {
            m_loop.post([this, result = std::move(result)]() mutable {
                push(AttemptEnded{std::move(result)});
                m_watch.attemptEnded();
                watchLoad();
            });
        },
        [this](protocol::AttemptProgress progress) {
            m_loop.post([this, progress = std::move(progress)]() mutable { push(AttemptMoved{std::move(progress)}); });
        },
        [this](protocol::LogChunk chunk) {
            m_loop.post([this, message = protocol::BuilderMessage(std::move(chunk))] { m_link.send(message); });
        },
        [this](bool full) {
            m_loop.post([this, full] { m_spoolFull = full; });
        },
    };
}

LinkEvents BuilderApp::linkEvents()
{
    return {
        [this] { return hello(); },
        [this](const protocol::Welcome&) {
            m_serverUrl->publish(m_link.url());
            push(LinkUp{});
        },
        [this](protocol::ServerMessage message) { onServerMessage(std::move(message)); },
        [this] {
            push(LinkDown{});
            m_logsFlow = false;
            onHost([](AttemptHost& host) { host.linkDown(); });
        },
        [this] { return report(); },
    };
}

protocol::Hello BuilderApp::hello() const
{
    protocol::Dialect dialect = protocol::ownDialect();
    dialect.features.emplace_back(protocol::kGrantsFeature);
    return {dialect.protocolMin, dialect.protocolMax,           std::move(dialect.features), m_directory.identity(),
            m_instance,          std::string(config::version()), m_core.facts()};
}

protocol::Report BuilderApp::report()
{
    protocol::Report report = m_core.report();
    report.load = sampleLoad();
    m_watch.reported(report.load, m_clock.now().mono);
    watchLoad();
    return report;
}

protocol::LoadSample BuilderApp::sampleLoad()
{
    protocol::LoadSample load = m_probe.sample();
    std::string shortage = shortageOf(load, m_options.thresholds);
    if (shortage.empty() && m_spoolFull)
        shortage = fmt::format("{} logs wait to be delivered", kMaxUndeliveredLogs);
    if (std::exchange(m_shortage, shortage) != shortage)
        push(ResourcesChanged{std::move(shortage)});
    return load;
}

// Heartbeats alone are too rare for the server's gates. While nothing runs and all is well they do.
void BuilderApp::watchLoad()
{
    if (!m_link.isUp() || !m_watch.wantsLook(m_core.runningCount() > 0) || std::exchange(m_lookArmed, true))
        return;
    m_loop.postAt(m_clock.now().mono + kLookEvery, [this] {
        m_lookArmed = false;
        lookAtLoad();
    });
}

void BuilderApp::lookAtLoad()
{
    if (m_link.isUp() && m_watch.isDue(sampleLoad(), m_clock.now().mono))
        m_link.report();
    watchLoad();
}

void BuilderApp::onServerMessage(protocol::ServerMessage message)
{
    if (auto* desired = std::get_if<protocol::Desired>(&message)) {
        push(DesiredArrived{std::move(*desired)});
        // Only now does the server know which attempts' logs it takes on this connection.
        if (!std::exchange(m_logsFlow, true))
            onHost([](AttemptHost& host) { host.linkUp(); });
    } else if (auto* stored = std::get_if<protocol::ResultStored>(&message)) {
        push(StoredArrived{std::move(stored->attempts)});
    } else if (const auto* log = std::get_if<protocol::LogStored>(&message)) {
        onHost([log = *log](AttemptHost& host) { host.logStored(log); });
    }
}

void BuilderApp::push(CoreEvent event)
{
    m_inbox.push_back(std::move(event));
    if (!std::exchange(m_applyPosted, true))
        m_loop.post([this] { applyInbox(); });
}

void BuilderApp::applyInbox()
{
    m_applyPosted = false;
    for (CoreCommand& command : m_core.apply(std::exchange(m_inbox, {})))
        carryOut(std::move(command));
}

void BuilderApp::onHost(std::function<void(AttemptHost&)> work)
{
    m_exec.post([this, work = std::move(work)] {
        if (m_host)
            work(*m_host);
    });
}

void BuilderApp::carryOut(CoreCommand command)
{
    if (auto* send = std::get_if<Send>(&command)) {
        m_link.send(send->message);
    } else if (auto* start = std::get_if<StartAttempt>(&command)) {
        onHost([assignment = std::move(start->assignment)](AttemptHost& host) { host.start(assignment); });
        watchLoad();
    } else if (auto* stop = std::get_if<StopAttempt>(&command)) {
        onHost([order = std::move(*stop)](AttemptHost& host) {
            host.stop(order.attempt, order.outcome, order.reason, order.atOnce);
        });
    } else if (const auto* forget = std::get_if<ForgetAttempt>(&command)) {
        onHost([order = *forget](AttemptHost& host) { host.forget(order.attempt, order.dropLog); });
    } else if (const auto* drained = std::get_if<Drained>(&command)) {
        onDrained(drained->unsent);
    }
}

void BuilderApp::drain()
{
    m_logger.info("builder.draining", {{"running", m_core.runningCount()}});
    push(DrainAsked{true, "the builder is stopping"});
    m_loop.postAt(SystemClock{}.now().mono + m_options.drainTimeout, [this] { abort(); });
}

void BuilderApp::abort()
{
    if (std::exchange(m_aborting, true))
        return;
    m_logger.info("builder.aborting", {{"running", m_core.runningCount()}});
    push(StopAsked{"the builder was stopped"});
    m_loop.postAt(SystemClock{}.now().mono + kAbortTime, [this] { leave("aborted"); });
}

// Results are with the server, or in the journal when there is none; logs get a moment more.
void BuilderApp::onDrained(std::size_t unsent)
{
    m_logger.info("builder.drained", {{"undelivered_results", unsent}});
    if (m_aborting || !m_link.isUp())
        return leave("drained");
    m_loop.postAt(SystemClock{}.now().mono + kDeliverTime, [this] { leave("drained"); });
    onHost([this](AttemptHost& host) {
        host.whenDelivered([this] { m_loop.post([this] { leave("drained"); }); });
    });
}

void BuilderApp::leave(const std::string& why)
{
    if (std::exchange(m_left, true))
        return;
    m_link.stop(why);
    // The goodbye leaves with the next turns of the event loop.
    m_loop.postAt(SystemClock{}.now().mono + std::chrono::milliseconds(50), [this] { m_finished(); });
}

void BuilderApp::reload()
{
    m_cleaner.post([this, options = m_options] {
        auto facts = std::make_shared<GatheredFacts>(gatherFacts(options));
        m_loop.post([this, facts] {
            if (facts->facts == m_core.facts())
                return;
            m_logger.info("builder.facts_changed", {{"executors", fmt::format("{}", facts->facts.executors.size())}});
            push(FactsChanged{facts->facts});
        });
    });
}

std::string BuilderApp::describe() const
{
    return fmt::format("{}, {} of {} slots in use, {} held", m_link.isUp() ? "connected" : "not connected",
                       m_core.runningCount(), m_core.facts().maxJobs, m_core.heldCount());
}

} // namespace penstock::builder
