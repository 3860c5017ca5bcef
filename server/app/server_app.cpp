// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/server_app.h"

#include "server/app/assignment_desk.h"
#include "server/app/bridges.h"
#include "server/app/derivation_texts.h"
#include "server/app/farm_gateway.h"
#include "server/app/farm_records.h"
#include "server/app/hydra_desk.h"
#include "server/app/hydra_source.h"
#include "server/app/metrics.h"
#include "server/app/output_desk.h"
#include "server/app/own_files.h"
#include "server/auth/authenticator.h"
#include "server/core/farm_core.h"
#include "server/feed/feed.h"
#include "server/http/http_server.h"
#include "server/hydra/lock_file.h"
#include "server/logs/log_store.h"
#include "server/net/builder_links.h"
#include "server/net/listener.h"
#include "server/net/monitor_link.h"
#include "server/postgres_cluster/cluster.h"
#include "server/store/postgres/postgres_store.h"
#include "shared/base/std_loop.h"
#include "shared/config/options.h"
#include "shared/qt/qt_loop.h"

#include <QWebSocket>
#include <fmt/format.h>
#include <future>
#include <optional>
#include <random>
#include <sys/stat.h>
#include <utility>

namespace penstock::app {
namespace {

// What peers get to hear of our end before the sockets close.
constexpr Duration kFarewellTime = std::chrono::milliseconds(200);

std::string randomStream()
{
    std::random_device device; // the adapter: the number only has to differ from the last run's
    return fmt::format("{:08x}{:08x}", device(), device());
}

// The core knows nothing of grants: they are a matter of the road, not of the work.
void addGrants(const OutputDesk& outputs, protocol::Desired& desired)
{
    for (protocol::Assignment& assignment : desired.assign) {
        if (auto* nix = std::get_if<protocol::NixWork>(&assignment.work); nix != nullptr)
            nix->grant = outputs.grant(assignment.attempt);
    }
}

} // namespace

struct ServerApp::Parts final : net::ConnectionSink {
    Parts(ServerOptions o, Logger& l, std::function<void(const Error&)> f)
        : options(std::move(o)), logger(l), fatal(std::move(f))
    {
    }
    ~Parts() override;

    [[nodiscard]] Result<void> openStore();
    [[nodiscard]] Result<void> startCore();
    [[nodiscard]] Result<void> openOutputStores();
    void buildNet();
    void watchSteps();
    void startHydra();
    [[nodiscard]] NetActions netActions();
    [[nodiscard]] AssignmentActions assignmentActions();
    [[nodiscard]] Result<void> listen();

    void onLink(QWebSocket* socket, net::PeerInfo peer) override;
    void onMonitor(QWebSocket* socket, net::PeerInfo peer) override;
    void onHttp(QTcpSocket* socket, auth::PeerAddress peer) override;

    const ServerOptions options;
    Logger& logger;
    const std::function<void(const Error&)> fatal;
    SystemClock clock;
    qt::QtLoop netLoop;

    // Built in this order; ~Parts says in which they end.
    std::unique_ptr<HydraSource> hydra; // only when one is served
    std::unique_ptr<postgres_cluster::Cluster> cluster;
    std::unique_ptr<store::Store> store;
    std::unique_ptr<StdLoop> coreLoop;
    std::unique_ptr<logs::LogStore> logs;
    std::unique_ptr<core::FarmCore> farm;
    std::unique_ptr<CoreBridge> coreBridge;
    std::unique_ptr<dispatch::Dispatcher> dispatcher;
    std::unique_ptr<DerivationTexts> texts;
    std::unique_ptr<OutputDesk> outputs;
    std::unique_ptr<LinkBridge> linkBridge;
    std::unique_ptr<LogGate> logGate; // only with a Hydra
    std::unique_ptr<BuildIntake> builds;
    std::unique_ptr<FarmGateway> gateway;
    std::unique_ptr<HydraDesk> hydraDesk;
    std::unique_ptr<auth::Authenticator> authenticator;
    std::unique_ptr<feed::Feed> feed;
    std::unique_ptr<net::MonitorLinks> monitorLinks;
    std::unique_ptr<net::BuilderLinks> builderLinks;
    std::unique_ptr<AssignmentDesk> assignments;
    std::unique_ptr<http::HttpServer> http;
    std::vector<std::unique_ptr<net::Listener>> listeners;
    work::Recovery recovery;
    std::optional<OpenedOutputs> opened; // until the desk takes them
};

// ------------------------------------------------------------------------------------------------- start-up

Result<void> ServerApp::Parts::openStore()
{
    std::string url = options.databaseUrl;
    if (url.empty()) {
        PENSTOCK_TRY(cluster, postgres_cluster::Cluster::start({.directory = options.dataDir + "/db"}, logger));
        url = cluster->connectionString();
    }
    store::PostgresOptions postgres;
    postgres.connectionString = std::move(url);
    postgres.projection = hydra == nullptr ? nullptr : &hydra->projection();
    postgres.onHealth = [this](Result<void> health) {
        netLoop.post([this, health = std::move(health)] {
            if (dispatcher != nullptr)
                dispatcher->post(
                    core::StoreHealth{health.has_value(), health ? std::string() : health.error().message});
        });
    };
    store = std::make_unique<store::PostgresStore>(std::move(postgres), logger);
    auto loaded = store->loadOpen();
    if (!loaded)
        return fail(std::move(loaded).error().in("opening the database"));
    recovery = *std::move(loaded);
    return {};
}

Result<void> ServerApp::Parts::startCore()
{
    logger.info("server.recovering", {{"jobs", recovery.jobs.size()},
                                      {"steps", recovery.steps.size()},
                                      {"attempts", recovery.attempts.size()}});
    logs::LogLimits limits;
    limits.maxBytesPerAttempt = options.maxLogBytes;
    logs = std::make_unique<logs::LogStore>(
        options.dataDir + "/logs", limits, logger, [this](AttemptId attempt, std::uint64_t size, bool ended) {
            netLoop.post([this, attempt, size, ended] {
                if (feed != nullptr)
                    feed->logGrew(attempt, size, ended);
                if (ended && outputs != nullptr)
                    outputs->logEnded(attempt);
            });
        },
        hydra == nullptr ? nullptr : &hydra->steps().tap());
    if (hydra != nullptr)
        hydra->steps().useLogs(*logs); // before the attempts that go on are opened
    farm = std::make_unique<core::FarmCore>(options.core);
    coreBridge = std::make_unique<CoreBridge>(netLoop, *logs, netActions());
    coreBridge->adopt(recovery);
    coreLoop = std::make_unique<StdLoop>("core");
    dispatcher = std::make_unique<dispatch::Dispatcher>(*coreLoop, clock, *farm, *store, *coreBridge);
    std::promise<Result<void>> recovered;
    coreLoop->post([&] {
        auto commands = farm->recover(recovery, clock.now());
        if (!commands)
            return recovered.set_value(fail(std::move(commands).error()));
        dispatcher->start(*std::move(commands));
        recovered.set_value({});
    });
    Result<void> result = recovered.get_future().get();
    recovery = {};
    return result;
}

NetActions ServerApp::Parts::netActions()
{
    NetActions actions;
    actions.welcome = [this](SessionId session, MachineId machine) {
        if (builderLinks != nullptr)
            builderLinks->sendWelcome(session, machine);
    };
    actions.desired = [this](SessionId session, protocol::Desired desired) {
        if (assignments != nullptr)
            assignments->desired(session, std::move(desired));
    };
    actions.attemptEnded = [this](AttemptId attempt, const std::string& drvPath) {
        const auto subject = hydra == nullptr ? drvPath : hydra->steps().takeSubject(attempt, drvPath);
        if (outputs != nullptr) // of an attempt that tells nothing, nothing is kept
            outputs->attemptEnded(attempt, drvPath.empty() ? drvPath : subject);
    };
    actions.stored = [this](SessionId session, std::vector<AttemptId> attempts) {
        if (assignments != nullptr)
            assignments->stored(session, std::move(attempts));
    };
    actions.close = [this](SessionId session, protocol::GoodbyeReason reason, const std::string& text) {
        if (assignments == nullptr)
            return;
        assignments->gone(session);
        builderLinks->close(session, reason, text);
    };
    actions.reply = [this](const core::Reply& reply) {
        if (gateway != nullptr)
            gateway->replied(reply);
    };
    actions.publish = [this](const core::Publish& changed) {
        if (feed != nullptr)
            feed->changed(changed.jobs, changed.steps, changed.machines);
    };
    actions.fatal = fatal;
    return actions;
}

AssignmentActions ServerApp::Parts::assignmentActions()
{
    AssignmentActions actions;
    actions.sendDesired = [this](SessionId session, protocol::Desired desired) {
        if (linkBridge->takesGrants(session))
            addGrants(*outputs, desired);
        builderLinks->sendDesired(session, std::move(desired));
    };
    actions.sendStored = [this](SessionId session, std::vector<AttemptId> attempts) {
        builderLinks->sendStored(session, std::move(attempts));
    };
    actions.fail = [this](SessionId session, AttemptId attempt, std::string why) {
        protocol::AttemptResult result;
        result.attempt = attempt;
        result.outcome = protocol::Outcome::Infrastructure;
        result.error = std::move(why);
        dispatcher->post(core::AttemptFinished{session, std::move(result), false});
    };
    actions.cutOff = [this](SessionId session, const std::string& why) {
        builderLinks->close(session, protocol::GoodbyeReason::Overloaded, why);
    };
    return actions;
}

Result<void> ServerApp::Parts::openOutputStores()
{
    PENSTOCK_TRY(opened, openOutputs(options.outputs,
                                     {options.dataDir, options.serverName, options.storeDir,
                                      options.environment, options.hydra.has_value()},
                                     clock, logger));
    return {};
}

void ServerApp::Parts::buildNet()
{
    texts = std::make_unique<DerivationTexts>(
        netLoop, *store, opened->rules.dir,
        TextOptions{realStoreDir(options.outputs.stores, options.storeDir, options.environment),
                    options.hydra.has_value()});
    std::function<void(const nix::StorePathSet&)> keepRoots;
    if (hydra != nullptr)
        keepRoots = hydra->steps().keepRoots(
            holderOfLinks(options.hydra->rootsDir, options.outputs.stores, opened->stores, options.environment));
    outputs = std::make_unique<OutputDesk>(OutputParts{netLoop, clock, logger, *dispatcher, *logs, *texts,
                                                       std::move(keepRoots)},
                                           *std::move(opened));
    opened.reset();
    const std::string version(config::version());
    GatewayFacts facts{version,
                       options.serverName,
                       {},
                       std::string(auth::toString(options.auth)),
                       cluster != nullptr,
                       clock.now().mono};
    builds = std::make_unique<BuildIntake>(netLoop, clock, logger,
                                           options.outputs.lookUp ? &outputs->firstStore() : nullptr);
    gateway = std::make_unique<FarmGateway>(GatewayParts{netLoop, clock, *dispatcher, *store, *logs, *builds},
                                            std::move(facts));
    authenticator = std::make_unique<auth::Authenticator>(clock, *gateway, options.auth);
    authenticator->setGrants(outputs.get());
    gateway->setOutputs({outputs->describeStores(), outputs->publicKeys()});
    gateway->onRevoked([this](const std::string& id) { authenticator->forget(id); });

    feed::FeedOptions feedOptions;
    feedOptions.serverName = options.serverName;
    feedOptions.version = version;
    feedOptions.stream = randomStream();
    feedOptions.storeDir = options.storeDir;
    feed = std::make_unique<feed::Feed>(netLoop, clock, logger, *gateway, std::move(feedOptions));
    monitorLinks = std::make_unique<net::MonitorLinks>(*feed);

    linkBridge = std::make_unique<LinkBridge>(
        *dispatcher, *logs, netLoop, *coreLoop, [this](SessionId session, protocol::AttemptResult result) {
            outputs->check(session, std::move(result));
        });
    if (hydra != nullptr)
        watchSteps();
    net::LinkOptions linkOptions;
    linkOptions.timing = {options.heartbeat, options.deadline};
    linkOptions.serverName = options.serverName;
    linkOptions.serverVersion = version;
    builderLinks = std::make_unique<net::BuilderLinks>(netLoop, clock, logger, *linkBridge, std::move(linkOptions));
    assignments = std::make_unique<AssignmentDesk>(AssignmentDesk::Parts{netLoop, clock, logger, *texts},
                                                   assignmentActions());
    linkBridge->onDisconnected([this](SessionId session) {
        if (assignments != nullptr)
            assignments->gone(session);
    });

    hydraDesk = std::make_unique<HydraDesk>(HydraDeskParts{netLoop, clock, *dispatcher, &outputs->further(),
                                                           outputs->transfers()});

    http::HttpOptions httpOptions;
    httpOptions.storeDir = options.storeDir;
    http = std::make_unique<http::HttpServer>(
        http::HttpParts{netLoop, clock, *authenticator, *gateway, &outputs->transfers(), hydraDesk.get()},
        httpOptions);
    gateway->setHydraCounters([this] { return hydraDesk->intakeCounters(); });
    gateway->addMetrics([this](std::vector<http::MetricFamily>& families) {
        appendLinkMetrics(builderLinks->counters(), builderLinks->size(), families);
        appendFeedMetrics(feed->counters(), families);
        outputs->addMetrics(families);
        texts->addMetrics(families);
        hydraDesk->addMetrics(families);
        for (const auto& listener : listeners)
            appendListenerMetrics(listener->counters(), families);
        families.push_back(http::counter("penstock_auth_refusals_total", "peers refused for their credential",
                                         static_cast<double>(authenticator->refusals())));
    });
}

void ServerApp::Parts::watchSteps()
{
    logGate = std::make_unique<LogGate>(netLoop, clock, *logs, logger,
                                        [this](SessionId session, protocol::AttemptResult result) {
                                            linkBridge->finished(session, std::move(result));
                                        });
    LinkBeside beside = hydra->steps().beside(*logs, *logGate);
    // Whoever shares a store with us shares it with the first.
    const auto& stores = options.outputs.stores;
    beside.checksAll =
        (hydra->steps().keepsRoots() || stores.size() > 1) && stores.front().kind == cache::StoreKind::Local;
    linkBridge->setBeside(std::move(beside));
    gateway->addMetrics([this](std::vector<http::MetricFamily>& families) { logGate->addMetrics(families); });
}

void ServerApp::Parts::startHydra()
{
    if (hydra == nullptr)
        return;
    const nix::StoreDir& storeDir = outputs->storeDir();
    hydra->start({netLoop, *gateway, outputs->firstStore(), outputs->machineStore(),
                  {storeDir, realStoreDir(options.outputs.stores, options.storeDir, options.environment)}});
    hydraDesk->serve(hydra->hooks());
}

Result<void> ServerApp::Parts::listen()
{
    std::vector<std::string> addresses;
    std::string ports;
    for (const net::ListenAddress& address : options.listen) {
        net::ListenerOptions listenerOptions;
        listenerOptions.tls = options.tls;
        auto listener = std::make_unique<net::Listener>(*authenticator, *this, logger, std::move(listenerOptions));
        if (auto listening = listener->listen(address); !listening)
            return fail(std::move(listening).error().in(fmt::format("--listen {}", address.print())));
        addresses.push_back(listener->boundAddress());
        ports += fmt::format("{}\n", listener->port());
        logger.info("server.listening", {{"address", listener->boundAddress()}});
        listeners.push_back(std::move(listener));
    }
    PENSTOCK_TRY_VOID(tellAddresses(options, addresses, ports));
    gateway->setListen(std::move(addresses));
    return {};
}

// ---------------------------------------------------------------------------------------------- connections

void ServerApp::Parts::onLink(QWebSocket* socket, net::PeerInfo peer)
{
    builderLinks->adopt(socket, std::move(peer.address.text), std::move(peer.identity.credential));
}

void ServerApp::Parts::onMonitor(QWebSocket* socket, net::PeerInfo peer)
{
    monitorLinks->add(socket, peer);
}

void ServerApp::Parts::onHttp(QTcpSocket* socket, auth::PeerAddress peer)
{
    http->accept(socket, std::move(peer));
}

// ------------------------------------------------------------------------------------------------------ end

ServerApp::Parts::~Parts()
{
    if (hydra != nullptr)
        hydra->beginStop();
    if (outputs != nullptr)
        outputs->stopStores(); // a fetch that is under way may take hours
    if (hydra != nullptr)
        hydra->stop();
    listeners.clear();
    http.reset();
    monitorLinks.reset();
    assignments.reset();
    builderLinks.reset();
    feed.reset();
    authenticator.reset();
    hydraDesk.reset();
    builds.reset();  // waits for one that is being looked up in the outputs
    outputs.reset(); // after http: no body is on its way any more
    texts.reset();
    if (coreLoop != nullptr)
        coreLoop->post([this] { dispatcher->stop(); });
    store.reset();    // writes what it was given; its completions go to the core loop
    coreLoop.reset(); // runs what is posted, then joins: nothing calls the dispatcher any more
    gateway.reset();
    logGate.reset();
    linkBridge.reset();
    dispatcher.reset();
    coreBridge.reset();
    farm.reset();
    logs.reset();
    cluster.reset();
    hydra.reset();
}

// ------------------------------------------------------------------------------------------------- ServerApp

ServerApp::ServerApp(std::unique_ptr<Parts> parts) : m_parts(std::move(parts)) {}
ServerApp::~ServerApp() = default;

Result<std::unique_ptr<ServerApp>> ServerApp::start(ServerOptions options, Logger& logger,
                                                    std::function<void(const Error&)> fatal)
{
    auto parts = std::make_unique<Parts>(std::move(options), logger, std::move(fatal));
    if (parts->options.hydra) { // its lock comes before anything is written
        PENSTOCK_TRY(parts->hydra, HydraSource::open(parts->options, parts->clock, logger));
    }
    PENSTOCK_TRY_VOID(makeDataDir(parts->options.dataDir));
    PENSTOCK_TRY_VOID(parts->openOutputStores());
    PENSTOCK_TRY_VOID(parts->openStore());
    PENSTOCK_TRY_VOID(parts->startCore());
    parts->buildNet();
    PENSTOCK_TRY_VOID(parts->listen());
    parts->startHydra();
    return std::unique_ptr<ServerApp>(new ServerApp(std::move(parts)));
}

void ServerApp::farewell(std::function<void()> done)
{
    for (const auto& listener : m_parts->listeners)
        listener->close();
    m_parts->builderLinks->closeAll(protocol::GoodbyeReason::Stopping, "the server is stopping");
    m_parts->feed->stop("the server is stopping");
    m_parts->http->stop();
    m_parts->netLoop.postAt(m_parts->clock.now().mono + kFarewellTime, std::move(done));
}

void ServerApp::reload()
{
    for (const auto& listener : m_parts->listeners) {
        const auto reloaded = listener->reloadTls();
        if (reloaded)
            m_parts->logger.info("server.reloaded", {{"address", listener->boundAddress()}});
        else
            m_parts->logger.error("server.reload_failed", {{"error", reloaded.error().message}});
    }
}

std::vector<std::string> ServerApp::boundAddresses() const
{
    std::vector<std::string> addresses;
    for (const auto& listener : m_parts->listeners)
        addresses.push_back(listener->boundAddress());
    return addresses;
}

void ServerApp::describe(std::function<void(std::string)> answer)
{
    m_parts->gateway->status([answer = std::move(answer)](Result<http::StatusView> status) {
        if (!status)
            return answer(status.error().message);
        const feed::FarmTotals& totals = status->totals;
        answer(fmt::format("{} of {} machines connected, {} jobs open, {} steps running", totals.machinesConnected,
                           totals.machinesTotal, totals.jobsOpen, totals.stepsRunning));
    });
}

} // namespace penstock::app
