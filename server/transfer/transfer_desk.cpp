// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/transfer/transfer_desk.h"

#include "server/transfer/closure.h"
#include "server/transfer/detail/desk_threads.h"

#include <fmt/format.h>

namespace penstock::transfer {
namespace {

constexpr std::size_t kMemoInfos = 200'000;
constexpr Duration kMemoAge = std::chrono::minutes(10);
constexpr Duration kSweepTime = std::chrono::minutes(1);

} // namespace

TransferDesk::TransferDesk(DeskParts parts, DeskOptions options)
    : m_parts(parts), m_options(std::move(options)), m_rules(std::make_shared<const UploadRules>(m_options.rules)),
      m_memo(m_parts.clock, kMemoInfos, kMemoAge), m_sessions(m_options.sessions),
      m_alive(std::make_shared<bool>(true)), m_questions(m_options.questions), m_bodies(m_options.bodies)
{
    sweep();
}

TransferDesk::~TransferDesk()
{
    *m_alive = false;
    m_parts.home.cancel(m_sweep);
}

void TransferDesk::findWaiting(std::size_t most, Answer<std::vector<std::string>> answer)
{
    onThread<std::vector<std::string>>(
        m_questions,
        [rules = m_rules, waiting = m_options.waiting, most,
         paths = m_sessions.staged(m_rules->dir, most)]() mutable -> Result<std::vector<std::string>> {
            if (waiting) {
                for (const auto& path : waiting(most - paths.size()))
                    paths.push_back(path.print(rules->dir));
            }
            return std::move(paths);
        },
        std::move(answer));
}

const nix::StoreDir& TransferDesk::storeDir() const
{
    return m_rules->dir;
}

void TransferDesk::sweep()
{
    discard(m_sessions.dropIdle(m_parts.clock.now().mono));
    m_sweep = m_parts.home.postAt(m_parts.clock.now().mono + kSweepTime, [this, alive = m_alive] {
        if (*alive)
            sweep();
    });
}

void TransferDesk::attemptEnded(AttemptId attempt)
{
    discard(m_sessions.drop({attempt, {}}));
}

void TransferDesk::withFacts(const Sender& sender, Answer<Facts> answer)
{
    auto* session = m_sessions.find(sender);
    if (session != nullptr)
        session->used = m_parts.clock.now().mono;
    // A session ends with its attempt, so that one with facts is of a live one.
    if (!sender.attempt || (session != nullptr && session->facts))
        return answer(session == nullptr ? Facts() : session->facts);
    const auto attempt = *sender.attempt;
    m_parts.attempts.attemptWork(attempt, [this, attempt, answer = std::move(answer)](Result<AttemptWork> work) {
        if (!work && work.error().code == ErrorCode::NotFound)
            return answer(fail(ErrorCode::Denied,
                               fmt::format("attempt {} is over, so that its outputs are not taken any more; its step "
                                           "goes on with another attempt, if at all",
                                           attempt.value())));
        if (!work)
            return answer(fail(std::move(work).error()));
        onThread<Facts>(
            m_questions,
            [rules = m_rules, attempt, work = *std::move(work)]() -> Result<Facts> {
                PENSTOCK_TRY(auto facts, attemptFacts(attempt, rules->dir, work));
                return std::make_shared<const AttemptFacts>(std::move(facts));
            },
            answer);
    });
}

// --------------------------------------------------------------------------------------------------------- out

void TransferDesk::findDigest(std::string digest, Answer<std::optional<nix::NarInfo>> answer)
{
    using Found = std::optional<nix::NarInfo>;
    onThread<Found>(
        m_questions, [&store = m_parts.store, digest = std::move(digest)] { return store.findDigest(digest); },
        [this, answer = std::move(answer)](Result<Found> found) {
            m_counters.unknown += found ? 0U : 1U;
            answer(std::move(found));
        });
}

void TransferDesk::findFile(std::string key, Answer<std::optional<cache::ObjectInfo>> answer)
{
    using Found = std::optional<cache::ObjectInfo>;
    auto* const files = readerFiles();
    if (files == nullptr)
        return answer(Found());
    onThread<Found>(
        m_questions, [files, key = std::move(key)] { return files->head(key); },
        [this, answer = std::move(answer)](Result<Found> found) {
            m_counters.unknown += found ? 0U : 1U;
            answer(std::move(found));
        });
}

Result<void> TransferDesk::readFile(const std::string& key, cache::ByteRange range, const ByteSink& sink)
{
    auto* const files = readerFiles();
    if (files == nullptr)
        return fail(ErrorCode::NotFound, fmt::format("nothing is at /{}", key));
    return files->get(key, range, sink);
}

Result<void> TransferDesk::writeClosure(const nix::StorePathSet& paths, const ByteSink& sink)
{
    bool first = true;
    auto& store = m_parts.inputs == nullptr ? m_parts.store : *m_parts.inputs;
    return walkClosure(store, m_memo, paths, [&](const nix::NarInfo& info) -> Result<void> {
        auto text = nix::printNarInfo(m_rules->dir, info);
        if (!std::exchange(first, false))
            text.insert(0, 1, '\n');
        return sink(text);
    });
}

} // namespace penstock::transfer
