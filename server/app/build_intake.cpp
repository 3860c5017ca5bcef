// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/build_intake.h"

#include "server/jobs/presence.h"

#include <chrono>
#include <fmt/format.h>
#include <set>
#include <utility>

namespace penstock::app {
namespace {

constexpr unsigned kThreads = 2;
constexpr std::size_t kWaiting = 16;
constexpr std::size_t kPathsAtOnce = 2'000;
constexpr Duration kMostTime = std::chrono::seconds(60);

Result<std::set<std::string>> lookUp(cache::OutputStore& store, const std::vector<std::string>& paths)
{
    nix::StorePathSet asked;
    for (const std::string& path : paths) {
        PENSTOCK_TRY(auto parsed, nix::StorePath::parse(store.storeDir(), path));
        asked.insert(std::move(parsed));
    }
    PENSTOCK_TRY(const auto found, store.findMany(asked));
    std::set<std::string> present;
    for (const nix::StorePath& path : found)
        present.insert(path.print(store.storeDir()));
    return present;
}

} // namespace

PreparedBuild withoutPresent(jobs::ParsedJob job, cache::OutputStore& store, const Clock& clock, Duration most)
{
    PreparedBuild prepared{std::move(job)};
    const Instant until = clock.now().mono + most;
    jobs::PresenceWalk walk(prepared.job);
    for (auto paths = walk.next(kPathsAtOnce); !paths.empty(); paths = walk.next(kPathsAtOnce)) {
        if (clock.now().mono >= until) {
            prepared.note = fmt::format("{} took longer than {} seconds to say which outputs it has; what was not "
                                        "asked by then is built",
                                        store.describe(),
                                        std::chrono::duration_cast<std::chrono::seconds>(most).count());
            break;
        }
        auto present = lookUp(store, paths);
        if (!present) {
            prepared.note = fmt::format("it is not known whether outputs are in {} already, so they are built: {}",
                                        store.describe(), present.error().message);
            break;
        }
        walk.answer(*present);
    }
    const auto before = prepared.job.steps.size();
    const jobs::Pruned pruned = jobs::leaveOutPresent(prepared.job, walk.present());
    std::size_t left = 0;
    for (const jobs::ParsedStep& step : prepared.job.steps)
        left += step.cached ? 0U : 1U;
    prepared.needless = pruned.there == 0 ? 0 : static_cast<std::uint32_t>(before - left);
    return prepared;
}

BuildIntake::BuildIntake(Loop& home, const Clock& clock, Logger& logger, cache::OutputStore* store)
    : m_home(home), m_clock(clock), m_logger(logger), m_store(store), m_alive(std::make_shared<bool>(true)),
      m_workers({kThreads, kWaiting})
{
}

BuildIntake::~BuildIntake()
{
    *m_alive = false;
}

void BuildIntake::prepare(feed::BuildSubmission build, feed::Answer<PreparedBuild> answer)
{
    const auto held = std::make_shared<feed::BuildSubmission>(std::move(build));
    const bool taken = m_workers.run([this, held, answer] {
        auto prepared = std::make_shared<Result<PreparedBuild>>(prepareNow(std::move(*held)));
        m_home.post([alive = m_alive, answer, prepared] {
            if (*alive)
                answer(std::move(*prepared));
        });
    });
    if (!taken)
        answer(fail(ErrorCode::Unavailable, fmt::format("{} builds are being taken in already; try again in a minute",
                                                        kThreads + kWaiting)));
}

Result<PreparedBuild> BuildIntake::prepareNow(feed::BuildSubmission build) const
{
    auto assembled = [&] { // what the assembler still holds goes before the store is asked
        feed::BuildSubmission own = std::move(build);
        return std::move(own.assembler).finish(own.roots, own.json, own.submitter);
    }();
    PENSTOCK_TRY(auto job, std::move(assembled));
    if (m_store == nullptr)
        return PreparedBuild{std::move(job)};
    PreparedBuild prepared = withoutPresent(std::move(job), *m_store, m_clock, kMostTime);
    if (!prepared.note.empty())
        m_logger.warning("build.presence_unknown", {{"name", prepared.job.spec.name}, {"note", prepared.note}});
    return prepared;
}

} // namespace penstock::app
