// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/output_desk.h"

#include "server/app/log_source.h"
#include "shared/base/passing.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::app {
namespace {

constexpr transfer::PoolSize kWorkers{4, 5'000};
constexpr std::size_t kMaxChecked = 20'000;
constexpr std::size_t kMaxLogsToCome = 20'000; // more than the log store waits for
constexpr Duration kFirstWait = std::chrono::seconds(1);
constexpr Duration kLongestWait = std::chrono::minutes(1);
constexpr Duration kTidyTime = std::chrono::hours(24);
constexpr Duration kTidyRetry = std::chrono::minutes(10);

Duration waitAfter(unsigned tries)
{
    return std::min(kLongestWait, kFirstWait * (1U << std::min(tries, 10U)));
}

} // namespace

OutputDesk::OutputDesk(OutputParts parts, OpenedOutputs opened)
    : m_parts(std::move(parts)), m_opened(std::move(opened)), m_alive(std::make_shared<bool>(true))
{
    transfer::DeskOptions options{.rules = m_opened.rules};
    options.published = [further = m_opened.further.get()](const std::vector<nix::StorePath>& paths) {
        return further->add(paths, {});
    };
    options.waiting = [further = m_opened.further.get()](std::size_t most) { return further->waiting(most); };
    auto& first = m_opened.stores.front();
    options.signedExpiry = first.signedExpiry;
    if (first.partBytes > 0)
        options.partBytes = first.partBytes;
    m_transfers = std::make_unique<transfer::TransferDesk>(
        transfer::DeskParts{m_parts.loop, m_parts.clock, m_parts.logger, *this, *first.store, first.files,
                            m_opened.inputs.get(), m_opened.inputs ? &m_opened.inputs->files() : nullptr},
        std::move(options));
    m_workers = std::make_unique<transfer::WorkerPool>(kWorkers);
    for (std::size_t store = 0; store < m_opened.stores.size(); ++store)
        tidy(store);
}

OutputDesk::~OutputDesk()
{
    *m_alive = false;
    stopStores();
}

void OutputDesk::stopStores() const
{
    for (const auto& each : m_opened.stores)
        each.stop();
    if (m_opened.local)
        m_opened.local->stop();
}

// A store that is away is asked again sooner than one that has answered.
void OutputDesk::tidy(std::size_t store)
{
    const auto& opened = m_opened.stores[store];
    if (!opened.tidy)
        return;
    auto task = [&opened, &logger = m_parts.logger] {
        const auto done = opened.tidy();
        if (!done)
            logger.warning("store.not_tidied", {{"store", opened.store->describe()}, {"error", done.error().message}});
        else if (!done->empty())
            logger.info("store.tidied", {{"store", opened.store->describe()}, {"removed", *done}});
        return done.has_value();
    };
    const auto again = [this, alive = m_alive, store](Duration wait) {
        m_parts.loop.postAt(m_parts.clock.now().mono + wait, [this, alive, store] {
            if (*alive)
                tidy(store);
        });
    };
    const bool isQueued = m_workers->run([&loop = m_parts.loop, alive = m_alive, task, again] {
        const Duration wait = task() ? kTidyTime : kTidyRetry;
        loop.post([alive, again, wait] {
            if (*alive)
                again(wait);
        });
    });
    if (!isQueued)
        again(kTidyRetry);
}

const OpenedStore* OutputDesk::machineStore() const
{
    if (m_opened.local)
        return &*m_opened.local;
    const auto own =
        std::ranges::find_if(m_opened.stores, [](const OpenedStore& each) { return each.access != nullptr; });
    return own == m_opened.stores.end() ? nullptr : &*own;
}

std::vector<std::string> OutputDesk::describeStores() const
{
    std::vector<std::string> texts;
    for (const auto& each : m_opened.stores)
        texts.push_back(each.store->describe());
    return texts;
}

// Runs the question on the core loop and brings the answer home.
template <class T>
void OutputDesk::ask(std::function<Result<T>(const core::FarmCore&)> question, std::function<void(Result<T>)> answer)
{
    m_parts.dispatcher.ask([&loop = m_parts.loop, alive = m_alive, question = std::move(question),
                            answer = std::move(answer)](const core::FarmCore& farm, Now) {
        loop.post([alive, answer, result = question(farm)]() mutable {
            if (*alive)
                answer(std::move(result));
        });
    });
}

// -------------------------------------------------------------------------------------------- attempts, grants

void OutputDesk::attemptWork(AttemptId attempt, transfer::Answer<transfer::AttemptWork> answer)
{
    ask<core::LiveWork>(
        [attempt](const core::FarmCore& farm) -> Result<core::LiveWork> {
            auto live = farm.liveWork(attempt);
            if (!live || !std::holds_alternative<work::NixWork>(live->work))
                return fail(ErrorCode::NotFound, fmt::format("attempt {} builds nothing now", attempt.value()));
            return *std::move(live);
        },
        [this, answer = std::move(answer)](Result<core::LiveWork> live) {
            if (!live)
                return answer(fail(std::move(live).error()));
            withText(*std::move(live), answer);
        });
}

void OutputDesk::withText(core::LiveWork live, transfer::Answer<transfer::AttemptWork> answer)
{
    transfer::AttemptWork work{std::move(std::get<work::NixWork>(live.work).drvPath), {}, {}, {}};
    for (protocol::ResolvedInput& input : live.resolved)
        work.revealed.push_back({std::move(input.drvPath), std::move(input.output), std::move(input.path)});
    std::vector<DerivationTexts::Wanted> wanted{{live.step, work.drvPath}};
    m_parts.texts.find(std::move(wanted), [alive = m_alive, work = std::move(work), answer = std::move(answer)](
                                              std::vector<Result<DerivationTexts::Text>> texts) mutable {
        if (!*alive)
            return;
        const auto& text = texts.front();
        if (!text)
            return answer(fail(isPassing(text.error()) ? ErrorCode::Unavailable : ErrorCode::Internal,
                               text.error().message));
        work.drv = (*text)->drv;
        work.inputPaths = (*text)->inputPaths;
        answer(std::move(work));
    });
}

bool OutputDesk::isGrant(std::string_view credential) const
{
    return transfer::looksLikeGrant(credential);
}

void OutputDesk::findGrant(std::string grant, auth::Answer<auth::Identity> answer)
{
    const auto attempt = m_opened.grants.check(grant);
    if (!attempt)
        return answer(fail(attempt.error()));
    ask<auth::Identity>(
        [attempt = *attempt](const core::FarmCore& farm) -> Result<auth::Identity> {
            const auto view = farm.attempt(attempt);
            if (!view || view->progress.state == work::AttemptState::Ended)
                return fail(ErrorCode::Denied,
                            fmt::format("the grant is of attempt {}, which is over; a builder gets a new one with its "
                                        "next step",
                                        attempt.value()));
            const auto name = fmt::format("attempt-{}", attempt.value());
            return auth::Identity{auth::Kind::Attempt, name, name, attempt};
        },
        std::move(answer));
}

void OutputDesk::attemptEnded(AttemptId attempt, const std::string& drvPath)
{
    m_logOf.insert_or_assign(attempt, drvPath);
    if (m_logOf.size() > kMaxLogsToCome)
        m_logOf.erase(m_logOf.begin());
    m_transfers->attemptEnded(attempt);
    m_checked.erase(attempt);
}

// ----------------------------------------------------------------------------------------- the outputs' check

void OutputDesk::check(SessionId session, protocol::AttemptResult result)
{
    const auto attempt = result.attempt;
    const auto waiting = m_checked.find(attempt);
    if (waiting != m_checked.end()) {
        waiting->second.session = session;
        waiting->second.result = std::move(result);
        return;
    }
    if (m_checked.size() >= kMaxChecked) {
        // The builder keeps it and says it again with its next connection.
        m_parts.logger.warning("outputs.too_many_checks", {{"waiting", m_checked.size()}});
        return;
    }
    m_checked.emplace(attempt, Checked{session, std::move(result), 0});
    look(attempt);
}

void OutputDesk::look(AttemptId attempt)
{
    ask<Expected>(
        [attempt](const core::FarmCore& farm) -> Result<Expected> {
            auto live = farm.liveWork(attempt);
            auto* nix = live ? std::get_if<work::NixWork>(&live->work) : nullptr;
            if (nix == nullptr)
                return Expected{};
            Expected expected{true, nix->outputs, {}};
            const auto isOpen = [](const work::NixOutput& output) { return output.path.empty(); };
            if (std::any_of(nix->outputs.begin(), nix->outputs.end(), isOpen))
                expected.open = *std::move(live);
            return expected;
        },
        [this, attempt](Result<Expected> expected) { expect(attempt, *std::move(expected)); });
}

void OutputDesk::expect(AttemptId attempt, Expected expected)
{
    if (!expected.open)
        return compare(attempt, expected, {});
    auto live = *std::exchange(expected.open, std::nullopt);
    withText(std::move(live), [this, attempt, expected = std::move(expected)](Result<transfer::AttemptWork> work) {
        if (work)
            return compare(attempt, expected, *std::move(work));
        if (!m_checked.contains(attempt))
            return;
        if (work.error().code == ErrorCode::Unavailable)
            return later(attempt, work.error());
        handOn(attempt, std::move(work).error().message, false);
    });
}

void OutputDesk::compare(AttemptId attempt, const Expected& expected, const std::optional<transfer::AttemptWork>& work)
{
    const auto checked = m_checked.find(attempt);
    if (checked == m_checked.end())
        return;
    if (!expected.isLive)
        return handOn(attempt, {}); // the core fences it
    Told told;
    for (const auto& output : expected.outputs) {
        const auto& outputs = checked->second.result.outputs;
        const auto same = std::find_if(outputs.begin(), outputs.end(), [&](const auto& each) {
            return each.name == output.name && (output.path.empty() || each.path == output.path);
        });
        if (same == outputs.end())
            return handOn(attempt, fmt::format("the builder says that the build succeeded and names no output {}{}",
                                               output.name, output.path.empty() ? "" : " as " + output.path));
        auto path = nix::StorePath::parse(m_opened.rules.dir, same->path);
        if (!path)
            return handOn(attempt, fmt::format("output {}: {}", output.name, path.error().message));
        if (output.path.empty())
            told.revealed.emplace(output.name, *path);
        told.paths.insert(*std::move(path));
    }
    auto task = [this, alive = m_alive, &loop = m_parts.loop, attempt, told = std::move(told), work] {
        auto wrong = settle(attempt, told, work);
        if (wrong && wrong->empty())
            if (auto passed = passOn(told); !passed)
                wrong = fail(std::move(passed).error());
        loop.post([this, alive, attempt, wrong = std::move(wrong)] {
            if (*alive)
                judged(attempt, wrong);
        });
    };
    if (!m_workers->run(std::move(task)))
        later(attempt, {ErrorCode::Exhausted, "too much is being looked up already"});
}

Result<std::string> OutputDesk::settle(AttemptId attempt, const Told& told,
                                       const std::optional<transfer::AttemptWork>& work) const
{
    auto& store = *m_opened.stores.front().store;
    const auto& dir = m_opened.rules.dir;
    PENSTOCK_TRY(const auto present, store.findMany(told.paths));
    for (const auto& path : told.paths)
        if (!present.contains(path))
            return fmt::format("the build succeeded, but its output {} is not in {}; it is built again",
                               path.print(dir), store.describe());
    if (m_parts.keepRoots)
        m_parts.keepRoots(told.paths);
    if (told.revealed.empty() || !work)
        return std::string();
    const auto facts = transfer::attemptFacts(attempt, dir, *work);
    if (!facts)
        return facts.error().message;
    for (const auto& [name, path] : told.revealed) {
        PENSTOCK_TRY(const auto info, store.find(path));
        if (!info)
            return fmt::format("output {} is not in {} any more", path.print(dir), store.describe());
        if (auto verdict = transfer::judgeOutput(dir, *facts, name, *info); !verdict.isWanted())
            return std::move(verdict.reason);
        // So that others, who have the derivation only, find what it became.
        if (facts->modulo)
            PENSTOCK_TRY_VOID(store.putRealisation({{*facts->modulo, name}, path, {}, {}}));
    }
    return std::string();
}

Result<void> OutputDesk::passOn(const Told& told) const
{
    if (m_opened.stores.front().access == nullptr)
        return {};
    return m_opened.further->add({told.paths.begin(), told.paths.end()}, {}); // what is there is not copied again
}

void OutputDesk::judged(AttemptId attempt, const Result<std::string>& wrong)
{
    if (!m_checked.contains(attempt))
        return;
    if (!wrong)
        return later(attempt, wrong.error());
    handOn(attempt, *wrong);
}

void OutputDesk::handOn(AttemptId attempt, std::string failure, bool isMachines)
{
    auto checked = m_checked.extract(attempt);
    auto& result = checked.mapped().result;
    if (!failure.empty()) {
        ++m_missing;
        m_parts.logger.warning("outputs.missing", {{"attempt", attempt.value()}, {"reason", failure}});
        result.outcome = protocol::Outcome::Infrastructure;
        result.error = std::move(failure);
        result.outputs.clear();
        result.results = {};
    }
    m_parts.dispatcher.post(core::AttemptFinished{checked.mapped().session, std::move(result), isMachines});
}

void OutputDesk::later(AttemptId attempt, const Error& error)
{
    ++m_unknown;
    const auto tries = m_checked.at(attempt).tries++;
    m_parts.logger.warning("outputs.unknown", {{"attempt", attempt.value()}, {"tries", tries + 1},
                                               {"error", error.message}});
    m_parts.loop.postAt(m_parts.clock.now().mono + waitAfter(tries), [this, alive = m_alive, attempt] {
        if (*alive && m_checked.contains(attempt))
            look(attempt);
    });
}

// -------------------------------------------------------------------------------------------------------- logs

void OutputDesk::logEnded(AttemptId attempt)
{
    if (const auto known = m_logOf.extract(attempt); !known.empty()) {
        if (!known.mapped().empty())
            keepLog(attempt, known.mapped());
        return;
    }
    // It ended before our restart, or not by what its machine said.
    ask<std::string>(
        [attempt](const core::FarmCore& farm) -> Result<std::string> {
            const auto view = farm.attempt(attempt);
            // An attempt that found all there has nothing to tell that the build itself has not told better.
            const bool built = view && view->progress.end != work::AttemptEnd::Cached;
            const auto step = built ? farm.step(view->step, view->job) : std::nullopt;
            return step ? step->drvPath : std::string();
        },
        [this, attempt](const Result<std::string>& drvPath) {
            if (!drvPath->empty())
                keepLog(attempt, *drvPath);
        });
}

void OutputDesk::keepLog(AttemptId attempt, const std::string& drvPath)
{
    const auto path = nix::StorePath::parse(m_opened.rules.dir, drvPath);
    if (!path)
        return;
    auto task = [this, attempt, name = path->baseName(), alive = m_alive] {
        auto kept = m_opened.stores.front().store->putLog(name, logSource(m_parts.logs, attempt));
        if (kept)
            kept = m_opened.further->add({}, name);
        m_parts.loop.post([this, alive, name, kept] {
            if (!*alive)
                return;
            ++(kept ? m_logsKept : m_logsLost);
            if (!kept)
                m_parts.logger.warning("outputs.log_not_kept", {{"drv", name}, {"error", kept.error().message}});
        });
    };
    if (m_workers->run(std::move(task)))
        return;
    ++m_logsLost;
    m_parts.logger.warning("outputs.log_not_kept", {{"drv", path->baseName()}, {"error", "too many logs wait"}});
}

// ----------------------------------------------------------------------------------------------------- metrics

void OutputDesk::addMetrics(std::vector<http::MetricFamily>& families) const
{
    const auto& counters = m_transfers->counters();
    const auto count = [&](std::string name, std::string help, std::uint64_t value) {
        families.push_back(http::counter("penstock_cache_" + name + "_total", std::move(help),
                                         static_cast<double>(value)));
    };
    count("bytes_in", "compressed bytes of NARs taken", counters.bytesIn);
    count("bytes_out", "bytes of cache files asked for", counters.bytesOut);
    count("received", "NARs taken and verified", counters.received);
    count("receive_failures", "NARs that broke off or were not what was announced", counters.failed);
    count("published", "store paths shown", counters.published);
    count("discarded", "NARs removed because nobody published them", counters.discarded);
    count("presence_unknown", "questions that a store could not answer", counters.unknown + m_unknown);
    count("outputs_missing", "successful results whose outputs were not there", m_missing);
    count("logs", "build logs kept", m_logsKept);
    count("log_failures", "build logs that could not be kept", m_logsLost);
    http::MetricFamily refused{"penstock_cache_refused_total", "announced paths that were refused, by reason",
                               http::MetricType::Counter, {}};
    for (const auto& [reason, times] : counters.refused)
        refused.samples.push_back({{{"reason", std::string(transfer::toString(reason))}}, static_cast<double>(times)});
    families.push_back(std::move(refused));
    families.push_back(http::gauge("penstock_cache_uploads_queued", "NARs taken and not shown yet",
                                   static_cast<double>(m_transfers->sessions().stagedCount())));
    http::MetricFamily copies{"penstock_cache_copies_waiting", "publications that wait for a further store",
                              http::MetricType::Gauge, {}};
    http::MetricFamily failures{"penstock_cache_copy_failures_total", "copies to a further store that failed",
                                http::MetricType::Counter, {}};
    for (const auto& each : m_opened.further->status()) {
        copies.samples.push_back({{{"store", each.store}}, static_cast<double>(each.queue.waiting)});
        failures.samples.push_back({{{"store", each.store}}, static_cast<double>(each.queue.failures)});
    }
    families.push_back(std::move(copies));
    families.push_back(std::move(failures));
    families.push_back(http::gauge("penstock_cache_senders", "attempts and clients that are uploading",
                                   static_cast<double>(m_transfers->sessions().count())));
    families.push_back(http::gauge("penstock_cache_results_waiting", "results whose outputs are being looked up",
                                   static_cast<double>(m_checked.size())));
}

} // namespace penstock::app
