// SPDX-License-Identifier: GPL-3.0-or-later
// Decision: one call of decide(), in the order in which things are told: steps that end, steps that start (and may have
// ended since), builds that end. Pure, one use.
#pragma once

#include "server/hydra/decide.h"

#include <map>
#include <set>
#include <utility>
#include <vector>

namespace penstock::hydra::detail {

class Decision {
public:
    Decision(const Facts& facts, const ProjectionRules& rules) : m_facts(facts), m_rules(rules) {}

    void endSteps();
    void startSteps();
    void endBuilds();
    [[nodiscard]] Rows take();

private:
    struct Times {
        Seconds start = 0;
        Seconds stop = 0;
    };
    // What decided over the builds above a step that did not end well.
    struct Cause {
        const StepFacts* step = nullptr;
        const AttemptFacts* attempt = nullptr; // the last one; nothing: none was made, or it decided nothing
        std::optional<BuildId> accounted;
        bool isAccountedThere = false; // else rows may not refer to it
        Status status = Status::Aborted;
        std::optional<std::string> error;
        Times times;
    };

    // detail/decide_steps.cpp
    [[nodiscard]] const Candidate* choose(const Start& start) const;
    void startStep(const Start& start, const Candidate& candidate);
    void deferStart(const Start& start, const Candidate& candidate);
    void forget(AttemptId attempt); // nothing more is written of it
    void resolve(const StepFacts& step, BuildId build, const std::string& resolved);
    void endStep(const OpenRow& row);
    void tellStepEnd(const AttemptPlace& place, const AttemptFacts& attempt, const std::string& drvPath);
    void tellStarted(BuildId build, bool wasStarted);
    [[nodiscard]] std::int32_t nextStep(BuildId build, std::int32_t last);

    // detail/decide_builds.cpp
    void succeed(const BuildFacts& build, const StepFacts* root);
    void addResults(const BuildFacts& build, const StepFacts& root, const AttemptFacts& attempt);
    void cancel(const BuildFacts& build);
    void failAll(StepId origin, const std::vector<const BuildFacts*>& builds);
    [[nodiscard]] Cause causeOf(StepId origin, const std::vector<const BuildFacts*>& builds) const;
    [[nodiscard]] std::string builtPathOf(const Cause& cause) const;
    void propagate(const Cause& cause, const BuildFacts& build);
    void rememberFailedPaths(const Cause& cause);
    [[nodiscard]] StepId originOf(const BuildFacts& build) const;
    [[nodiscard]] std::optional<BuildId> accountedOf(const StepFacts& step) const;
    [[nodiscard]] const AttemptFacts* decisiveOf(const StepFacts& step) const;
    [[nodiscard]] bool isTold(const StepFacts& step) const;
    [[nodiscard]] bool exists(BuildId build) const;

    void notify(std::string_view channel, std::string payload);
    [[nodiscard]] Times nowTimes() const;
    [[nodiscard]] Times timesOf(const AttemptFacts& attempt) const;
    [[nodiscard]] const StepFacts* findStep(StepId id) const;
    [[nodiscard]] const AttemptFacts* findAttempt(std::optional<AttemptId> id) const;

    const Facts& m_facts;
    const ProjectionRules& m_rules;
    Rows m_rows;
    std::map<BuildId, std::int32_t> m_lastSteps;
    std::map<AttemptId, BuildId> m_accounted; // attempts of this batch
    std::map<StepId, BuildId> m_causes;       // failed steps of this batch
    std::map<AttemptId, std::string> m_builtPaths; // likewise: of derivations that are built as others
    std::set<std::pair<BuildId, std::string>> m_resolved; // rows of this batch: what derivations have become
    std::map<AttemptId, bool> m_isTold;       // likewise: all of their rows are written
    std::set<BuildId> m_started; // told in this batch
};

} // namespace penstock::hydra::detail
