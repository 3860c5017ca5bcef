// SPDX-License-Identifier: GPL-3.0-or-later
// What any schedule needs at least, and what a plain one that knows everything makes of it.
#include "tests/support/workloads.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <queue>
#include <set>
#include <tuple>

namespace penstock::test {
namespace {

struct Window {      // a step lies between these, whatever the schedule
    double head = 0; // cannot start before
    double tail = 0; // from its end at least so much must follow
    double work = 0;
};

std::vector<Window> windowsOf(const std::vector<Evaluation>& evaluations, double speed)
{
    std::vector<Window> windows;
    for (const Evaluation& evaluation : evaluations) {
        const std::size_t first = windows.size();
        const std::vector<Duration> chains = remainingChains(evaluation);
        for (std::size_t i = 0; i < evaluation.steps.size(); ++i) {
            const TrueStep& step = evaluation.steps[i];
            const auto work = static_cast<double>(step.duration.count());
            Window window{static_cast<double>(evaluation.arrival.count()),
                          (static_cast<double>(chains[i].count()) - work) / speed, work};
            for (const std::uint32_t need : step.dependsOn) {
                const Window& before = windows[first + need];
                window.head = std::max(window.head, before.head + before.work / speed);
            }
            windows.push_back(window);
        }
    }
    return windows;
}

// Some values out of many, in order: enough for a bound, which holds for whichever are tried.
std::vector<double> spread(std::vector<double> values)
{
    constexpr std::size_t kTried = 200;
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    if (values.size() <= kTried)
        return values;
    std::vector<double> chosen;
    for (std::size_t i = 0; i < kTried; ++i)
        chosen.push_back(values[i * (values.size() - 1) / (kTried - 1)]);
    return chosen;
}

// No step of the window starts before the head, and the tail follows after the last of them has ended.
double combinedBound(std::vector<Window>& windows, double totalSpeed)
{
    std::vector<double> heads;
    std::vector<double> tails;
    for (const Window& window : windows) {
        heads.push_back(window.head);
        tails.push_back(window.tail);
    }
    std::sort(windows.begin(), windows.end(),
              [](const Window& a, const Window& b) { return a.tail > b.tail; });
    const std::vector<double> triedTails = spread(std::move(tails));
    double best = 0;
    for (const double head : spread(std::move(heads))) {
        double work = 0;
        std::size_t next = 0;
        for (auto tail = triedTails.rbegin(); tail != triedTails.rend(); ++tail) {
            for (; next < windows.size() && windows[next].tail >= *tail; ++next)
                if (windows[next].head >= head)
                    work += windows[next].work;
            if (work > 0)
                best = std::max(best, head + work / totalSpeed + *tail);
        }
    }
    return best;
}

struct Ready { // the longest remaining chain first
    Duration chain;
    std::size_t evaluation;
    std::uint32_t step;
    friend bool operator<(const Ready& a, const Ready& b)
    {
        return std::tie(b.chain, a.evaluation, a.step) < std::tie(a.chain, b.evaluation, b.step);
    }
};

struct Happening { // a step ends on a slot, or an evaluation arrives
    Duration at;
    std::size_t evaluation;
    std::uint32_t step; // UINT32_MAX: arrival
    std::size_t slot;
    friend bool operator>(const Happening& a, const Happening& b)
    {
        return std::tie(a.at, a.evaluation, a.step) > std::tie(b.at, b.evaluation, b.step);
    }
};

std::vector<Duration> remainingDepths(const Evaluation& evaluation)
{
    Evaluation counted = evaluation;
    for (TrueStep& step : counted.steps)
        step.duration = Duration(1);
    return remainingChains(counted);
}

struct Usage { // machine time of an evaluation; of equal ones, who runs less goes first
    Duration used{0};
    Duration at{0};
    std::int64_t running = 0;
    double faded = 0; // average of running
    [[nodiscard]] double recent() const { return static_cast<double>(running) + faded; }
    void advance(Duration now)
    {
        used += (now - at) * running;
        const double kept = std::exp(-static_cast<double>((now - at).count()) / 180e6);
        faded = faded * kept + static_cast<double>(running) * (1.0 - kept);
        at = now;
    }
    friend bool operator<(const Usage& a, const Usage& b)
    {
        return std::tie(a.used, a.running) < std::tie(b.used, b.running);
    }
};

class ListScheduler {
public:
    ListScheduler(const std::vector<Evaluation>& evaluations, const std::vector<double>& slotSpeeds,
                  ListOrder order)
        : m_evaluations(evaluations),
          m_slotSpeeds(slotSpeeds),
          m_order(order),
          m_dependents(evaluations.size()),
          m_ready(evaluations.size()),
          m_usage(evaluations.size())
    {
        for (std::size_t i = 0; i < slotSpeeds.size(); ++i)
            m_freeSlots.emplace(-slotSpeeds[i], i);
        for (std::size_t e = 0; e < evaluations.size(); ++e)
            add(e);
    }
    [[nodiscard]] Duration run()
    {
        Duration last{0};
        while (!m_happenings.empty()) {
            last = m_happenings.top().at;
            while (!m_happenings.empty() && m_happenings.top().at == last) {
                const Happening happening = m_happenings.top();
                m_happenings.pop();
                happened(happening);
            }
            while (!m_freeSlots.empty()) {
                const std::size_t next = chooseEvaluation(last);
                if (next == m_ready.size())
                    break;
                start(next, last);
            }
        }
        return last;
    }

private:
    void add(std::size_t e)
    {
        const Evaluation& evaluation = m_evaluations[e];
        const bool counted = m_order == ListOrder::Depth || m_order == ListOrder::ShareThenDepth;
        m_chains.push_back(counted ? remainingDepths(evaluation) : remainingChains(evaluation));
        m_missing.emplace_back();
        m_dependents[e].resize(evaluation.steps.size());
        for (std::uint32_t i = 0; i < evaluation.steps.size(); ++i) {
            m_missing[e].push_back(static_cast<std::uint32_t>(evaluation.steps[i].dependsOn.size()));
            for (const std::uint32_t need : evaluation.steps[i].dependsOn)
                m_dependents[e][need].push_back(i);
        }
        m_happenings.push({evaluation.arrival, e, UINT32_MAX, 0});
    }
    void happened(const Happening& happening)
    {
        const std::size_t e = happening.evaluation;
        if (happening.step == UINT32_MAX) {
            for (std::uint32_t i = 0; i < m_missing[e].size(); ++i)
                if (m_missing[e][i] == 0)
                    becomesReady(e, i, happening.at);
            return;
        }
        Usage& usage = m_usage[e];
        usage.advance(happening.at);
        --usage.running;
        m_freeSlots.emplace(-m_slotSpeeds[happening.slot], happening.slot);
        for (const std::uint32_t next : m_dependents[e][happening.step])
            if (--m_missing[e][next] == 0)
                becomesReady(e, next, happening.at);
    }
    void becomesReady(std::size_t e, std::uint32_t step, Duration now)
    {
        Usage& usage = m_usage[e];
        if (m_order == ListOrder::RecentShareThenChain && m_ready[e].empty() && usage.running == 0)
            if (const auto level = leastServed(now))
                usage.used = std::max(usage.used, *level);
        m_ready[e].insert({m_chains[e][step], e, step});
    }
    [[nodiscard]] std::optional<Duration> leastServed(Duration now)
    {
        std::optional<Duration> least;
        for (std::size_t e = 0; e < m_ready.size(); ++e) {
            m_usage[e].advance(now);
            if (!m_ready[e].empty() || m_usage[e].running > 0)
                least = std::min(least.value_or(m_usage[e].used), m_usage[e].used);
        }
        return least;
    }
    [[nodiscard]] bool isBefore(std::size_t a, std::size_t b) const
    {
        switch (m_order) {
        case ListOrder::Chain:
        case ListOrder::Depth: return *m_ready[a].begin() < *m_ready[b].begin();
        case ListOrder::ShareThenChain:
        case ListOrder::ShareThenDepth:
        case ListOrder::RecentShareThenChain: return m_usage[a] < m_usage[b];
        case ListOrder::FadingShareThenChain: return m_usage[a].recent() < m_usage[b].recent();
        case ListOrder::RunningThenChain: return m_usage[a].running < m_usage[b].running;
        }
        return false;
    }
    // m_ready.size(): none has a ready step.
    [[nodiscard]] std::size_t chooseEvaluation(Duration now)
    {
        std::size_t best = m_ready.size();
        for (std::size_t e = 0; e < m_ready.size(); ++e) {
            m_usage[e].advance(now);
            if (!m_ready[e].empty() && (best == m_ready.size() || isBefore(e, best)))
                best = e;
        }
        return best;
    }
    void start(std::size_t evaluation, Duration now)
    {
        const Ready chosen = m_ready[evaluation].extract(m_ready[evaluation].begin()).value();
        ++m_usage[evaluation].running;
        const std::size_t slot = m_freeSlots.extract(m_freeSlots.begin()).value().second;
        const auto work =
            static_cast<double>(m_evaluations[chosen.evaluation].steps[chosen.step].duration.count());
        const Duration takes(static_cast<std::int64_t>(work / m_slotSpeeds[slot]));
        m_happenings.push({now + takes, chosen.evaluation, chosen.step, slot});
    }

    const std::vector<Evaluation>& m_evaluations;
    const std::vector<double>& m_slotSpeeds;
    ListOrder m_order;
    std::vector<std::vector<Duration>> m_chains;
    std::vector<std::vector<std::uint32_t>> m_missing; // dependencies that have not ended
    std::vector<std::vector<std::vector<std::uint32_t>>> m_dependents;
    std::priority_queue<Happening, std::vector<Happening>, std::greater<>> m_happenings;
    std::set<std::pair<double, std::size_t>> m_freeSlots; // the fastest first
    std::vector<std::set<Ready>> m_ready;                 // of each evaluation
    std::vector<Usage> m_usage;
};

} // namespace

std::vector<Duration> remainingChains(const Evaluation& evaluation)
{
    std::vector<Duration> after(evaluation.steps.size(), Duration(0));
    for (std::size_t i = evaluation.steps.size(); i-- > 0;) {
        after[i] += evaluation.steps[i].duration;
        for (const std::uint32_t need : evaluation.steps[i].dependsOn)
            after[need] = std::max(after[need], after[i]);
    }
    return after;
}

LowerBound lowerBound(const std::vector<Evaluation>& evaluations, const FarmSize& farm)
{
    std::vector<Window> windows = windowsOf(evaluations, farm.bestSpeed);
    LowerBound bound;
    double chain = 0;
    for (const Window& window : windows)
        chain = std::max(chain, window.head + window.work / farm.bestSpeed + window.tail);
    double best = 0;
    for (const Evaluation& from : evaluations) {
        double work = 0;
        for (const Evaluation& other : evaluations)
            if (other.arrival >= from.arrival)
                for (const TrueStep& step : other.steps)
                    work += static_cast<double>(step.duration.count());
        best = std::max(best, static_cast<double>(from.arrival.count()) + work / farm.totalSpeed);
    }
    bound.criticalPath = Duration(static_cast<std::int64_t>(chain));
    bound.work = Duration(static_cast<std::int64_t>(best));
    bound.combined =
        Duration(static_cast<std::int64_t>(std::max({chain, best, combinedBound(windows, farm.totalSpeed)})));
    return bound;
}

Duration listSchedule(const std::vector<Evaluation>& evaluations, const std::vector<double>& slotSpeeds,
                      ListOrder order)
{
    return ListScheduler(evaluations, slotSpeeds, order).run();
}

} // namespace penstock::test
