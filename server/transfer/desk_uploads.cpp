// SPDX-License-Identifier: GPL-3.0-or-later
// The way in: announce, bring, publish.
#include "server/transfer/detail/desk_threads.h"
#include "server/transfer/transfer_desk.h"

#include <fmt/format.h>

#include <algorithm>

namespace penstock::transfer {
namespace {

constexpr unsigned kFirstParts = 100;
constexpr std::size_t kMostLooks = 100; // a round trip each; what is beyond is never removed
constexpr std::uint64_t kMostParts = 9'000; // S3 allows 10,000; compression may make a NAR longer

cache::PutOptions putOptions()
{
    // The file of another path with the same content may be signed already.
    return {.contentType = "application/x-nix-nar", .contentEncoding = {}, .ifAbsent = true};
}

std::uint64_t partBytes(const DeskOptions& options, std::uint64_t narSize)
{
    return std::max(options.partBytes, narSize / kMostParts + 1);
}

struct Signing {
    cache::OutputStore& store;
    cache::SignedUploads& uploads;
    std::chrono::seconds expiry;
};

Result<std::vector<SignedPart>> signParts(const Signing& signing, const std::string& key, const std::string& upload,
                                          const std::vector<unsigned>& numbers)
{
    std::vector<SignedPart> parts;
    parts.reserve(numbers.size());
    for (const auto number : numbers) {
        PENSTOCK_TRY(auto request, signing.uploads.signPart(key, upload, number, signing.expiry));
        parts.push_back({number, std::move(request)});
    }
    return parts;
}

Result<void> signPast(const Signing& signing, const DeskOptions& options, const nix::NarInfo& info, UploadPlan& plan)
{
    const auto key = signing.store.narKey(info);
    if (info.narSize < options.partsFrom) {
        PENSTOCK_TRY(plan.past, signing.uploads.signPut(key, putOptions(), signing.expiry));
        return {};
    }
    PartsPlan parts;
    parts.partBytes = partBytes(options, info.narSize);
    PENSTOCK_TRY(parts.upload, signing.uploads.beginParts(key, putOptions()));
    const auto count = std::min<std::uint64_t>(kFirstParts, info.narSize / parts.partBytes + 1);
    std::vector<unsigned> numbers;
    for (unsigned number = 1; number <= count; ++number)
        numbers.push_back(number);
    PENSTOCK_TRY(parts.parts, signParts(signing, key, parts.upload, numbers));
    plan.parts = std::move(parts);
    return {};
}

// What an upload in parts has brought becomes a file, unless another path with the same content has one already.
Result<void> complete(cache::OutputStore& store, const nix::NarInfo& info, const Publication& publication)
{
    if (publication.upload.empty())
        return {};
    const auto key = store.narKey(info);
    auto completed = store.signedUploads()->completeParts(key, publication.upload, publication.parts);
    if (completed || completed.error().code != ErrorCode::Conflict)
        return completed;
    return store.signedUploads()->abortParts(key, publication.upload);
}

// Signatures that nobody here can check would be shown as if they were good.
void keepTrusted(const UploadRules& rules, nix::NarInfo& info)
{
    const auto print = nix::fingerprint(rules.dir, info);
    std::erase_if(info.signatures,
                  [&](const std::string& each) { return !nix::isSignedBy(rules.trusted, {each}, print); });
}

} // namespace

// ---------------------------------------------------------------------------------------------------- announce

void TransferDesk::announce(Announcement announcement, Answer<std::vector<UploadPlan>> answer)
{
    const auto sender = announcement.sender;
    withFacts(sender, [this, announcement = std::move(announcement), answer = std::move(answer)](Result<Facts> facts) {
        if (!facts)
            return answer(fail(std::move(facts).error()));
        onThread<std::vector<Judged>>(
            m_questions, judging(announcement, *facts),
            [this, sender = announcement.sender, facts = *facts, answer](Result<std::vector<Judged>> judged) {
                if (!judged) {
                    ++m_counters.unknown;
                    return answer(fail(std::move(judged).error()));
                }
                answer(enlist(sender, facts, *std::move(judged)));
            });
    });
}

std::function<Result<std::vector<TransferDesk::Judged>>()> TransferDesk::judging(Announcement announcement,
                                                                                 Facts facts) const
{
    return [&store = m_parts.store, files = m_parts.files, rules = m_rules, options = m_options,
            announcement = std::move(announcement), facts = std::move(facts)]() -> Result<std::vector<Judged>> {
        nix::StorePathSet asked;
        for (const auto& info : announcement.infos)
            asked.insert(info.path);
        PENSTOCK_TRY(const auto present, store.findMany(asked));
        auto* past = announcement.direct ? nullptr : store.signedUploads();
        std::vector<Judged> judged;
        for (const auto& info : announcement.infos) {
            Judged each{info, {.path = info.path}, Refusal::None};
            auto& plan = each.plan;
            if (!present.contains(info.path)) {
                auto verdict = judgeUpload(*rules, facts.get(), info);
                each.refusal = verdict.refusal;
                plan.state = verdict.isWanted() ? UploadState::Wanted : UploadState::Refused;
                plan.reason = std::move(verdict.reason);
                plan.encoding = store.wantedEncoding();
                keepTrusted(*rules, each.info);
            }
            if (past != nullptr && plan.state == UploadState::Wanted) {
                PENSTOCK_TRY_VOID(signPast({store, *past, options.signedExpiry}, options, info, plan));
                if (files != nullptr && judged.size() < kMostLooks) {
                    PENSTOCK_TRY(const auto there, files->head(store.narKey(info)));
                    each.isFree = !there;
                }
            }
            judged.push_back(std::move(each));
        }
        return judged;
    };
}

Result<std::vector<UploadPlan>> TransferDesk::enlist(const Sender& sender, Facts facts, std::vector<Judged> judged)
{
    PENSTOCK_TRY_VOID(m_sessions.open(sender, std::move(facts), m_parts.clock.now().mono));
    Plans plans;
    plans.reserve(judged.size());
    for (auto& each : judged) {
        if (each.plan.state == UploadState::Refused) {
            ++m_counters.refused[each.refusal];
            m_parts.logger.warning("transfer.refused", {{"path", each.plan.path.baseName()},
                                                        {"code", toString(each.refusal)},
                                                        {"reason", each.plan.reason}});
        }
        if (each.plan.state == UploadState::Wanted) {
            PENSTOCK_TRY_VOID(enlistWanted(sender, each));
        }
        plans.push_back(std::move(each.plan));
    }
    return plans;
}

// A file that may come past us is held from now on. A repeat keeps what its former has held.
Result<void> TransferDesk::enlistWanted(const Sender& sender, Judged& judged)
{
    const auto& plan = judged.plan;
    const auto announced = judged.info;
    Item item{announced, plan.encoding.method, Stage::Announced, std::nullopt, {}};
    item.upload = plan.parts ? plan.parts->upload : std::string();
    const auto* former = m_sessions.find(sender, announced.path);
    const bool isHeld = former != nullptr && former->isPast;
    const auto formerInfo = isHeld ? former->announced : announced;
    const bool isSame = formerInfo.narHash == announced.narHash;
    const bool isNewlyPast = (plan.past || plan.parts) && !(isHeld && isSame);
    item.isPast = isNewlyPast || (isHeld && isSame);
    if (isNewlyPast && !m_holds.hold(announced.narHash))
        return fail(ErrorCode::Unavailable,
                    fmt::format("a NAR like that of {} is being removed; try again", announced.path.baseName()));
    if (isNewlyPast && !judged.isFree)
        m_holds.keep(announced.narHash);
    auto enlisted = m_sessions.announce(sender, std::move(item));
    const auto* now = m_sessions.find(sender, announced.path);
    const bool isTaken = enlisted && now->announced == announced && now->stage == Stage::Announced;
    if (isNewlyPast && !isTaken)
        letGo(pastFile(announced), false);
    if (isHeld && !isSame && isTaken)
        letGo(pastFile(formerInfo), true);
    return enlisted;
}

nix::NarInfo TransferDesk::pastFile(nix::NarInfo announced) const
{
    announced.url = m_parts.store.narKey(announced);
    return announced;
}

// ----------------------------------------------------------------------------------------------------- receive

void TransferDesk::receive(Delivery delivery, Answer<void> answer)
{
    const auto sender = delivery.sender;
    withFacts(sender, [this, delivery = std::move(delivery), answer = std::move(answer)](const Result<Facts>& facts) {
        if (!facts)
            return answer(fail(facts.error()));
        take(delivery, answer);
    });
}

void TransferDesk::take(Delivery delivery, Answer<void> answer)
{
    auto* item = m_sessions.find(delivery.sender, delivery.path);
    const auto name = delivery.path.print(m_rules->dir);
    if (item == nullptr)
        return answer(fail(ErrorCode::NotFound,
                           fmt::format("{} was not announced by this sender, or was refused; announce it by POST "
                                       "/transfer/uploads",
                                       name)));
    if (item->stage == Stage::Staged)
        return answer({}); // the answer to a former try was lost on its way
    if (item->stage != Stage::Announced)
        return answer(fail(ErrorCode::Conflict, fmt::format("{} is being sent or published already", name)));
    if (!m_holds.hold(item->announced.narHash))
        return answer(fail(ErrorCode::Unavailable, fmt::format("a NAR like that of {} is being removed; try again",
                                                               name)));
    item->stage = Stage::Receiving;
    onThread<Taken>(m_bodies, taking(delivery, item->announced),
                    [this, sender = delivery.sender, announced = item->announced, answer](Result<Taken> result) {
                        taken(sender, announced, std::move(result), answer);
                    });
}

std::function<Result<TransferDesk::Taken>()> TransferDesk::taking(const Delivery& delivery,
                                                                  const nix::NarInfo& announced) const
{
    return [&store = m_parts.store, files = m_parts.files, announced, method = delivery.method,
            next = delivery.next]() -> Result<Taken> {
        Taken taken{fail(ErrorCode::Internal, "nothing was received"), 0, true};
        taken.staged = [&]() -> Result<nix::NarInfo> {
            if (files != nullptr) {
                PENSTOCK_TRY(const auto there, files->head(store.narKey(announced)));
                taken.wasThere = there.has_value();
            }
            PENSTOCK_TRY(auto intake, store.receive(announced, method));
            for (;;) {
                PENSTOCK_TRY(const auto piece, next());
                if (piece.empty())
                    return intake->finish();
                taken.bytes += piece.size();
                PENSTOCK_TRY_VOID(intake->push(piece));
            }
        }();
        return taken;
    };
}

void TransferDesk::taken(const Sender& sender, const nix::NarInfo& announced, Result<Taken> result,
                         const Answer<void>& answer)
{
    m_counters.bytesIn += result ? result->bytes : 0;
    if (!result || result->wasThere)
        m_holds.keep(announced.narHash);
    auto staged = result ? std::move(result->staged) : fail(std::move(result).error());
    ++(staged ? m_counters.received : m_counters.failed);
    auto* item = m_sessions.find(sender, announced.path);
    if (item != nullptr)
        item->stage = staged ? Stage::Staged : Stage::Announced;
    if (!staged || item == nullptr)
        letGo(staged ? *staged : announced, staged.has_value());
    if (!staged)
        return answer(fail(std::move(staged).error()));
    if (item == nullptr)
        return answer(fail(ErrorCode::Denied, "the attempt ended while its output was sent"));
    item->staged = *std::move(staged);
    answer({});
}

void TransferDesk::moreParts(Sender sender, nix::StorePath path, std::vector<unsigned> numbers,
                             Answer<std::vector<SignedPart>> answer)
{
    withFacts(sender, [this, sender, path, numbers = std::move(numbers),
                       answer = std::move(answer)](const Result<Facts>& facts) {
        if (!facts)
            return answer(fail(facts.error()));
        auto* past = m_parts.store.signedUploads();
        const auto* item = m_sessions.find(sender, path);
        if (past == nullptr || item == nullptr || item->upload.empty())
            return answer(fail(ErrorCode::NotFound,
                               fmt::format("{} has no upload in parts; announce it by POST /transfer/uploads",
                                           path.print(m_rules->dir))));
        onThread<std::vector<SignedPart>>(
            m_questions,
            [&store = m_parts.store, past, info = item->announced, upload = item->upload, numbers,
             expiry = m_options.signedExpiry] {
                return signParts({store, *past, expiry}, store.narKey(info), upload, numbers);
            },
            answer);
    });
}

// ----------------------------------------------------------------------------------------------------- publish

struct TransferDesk::Batch {
    struct Past {
        nix::NarInfo announced;
        compress::Method method;
        Publication publication;
    };
    std::vector<nix::NarInfo> staged;
    std::vector<nix::NarInfo> held;     // files to let go of in the end, shown or not
    std::vector<Past> past;             // uploaded past us, to be read back
    nix::StorePathSet present;          // said to be there already
    std::vector<nix::StorePath> taken;  // of the session
};

Result<TransferDesk::Batch> TransferDesk::gather(const Sender& sender, const std::vector<Publication>& paths)
{
    Batch batch;
    for (const auto& publication : paths) {
        auto* item = m_sessions.find(sender, publication.path);
        if (item == nullptr) {
            batch.present.insert(publication.path);
            continue;
        }
        if (item->stage == Stage::Staged) {
            batch.staged.push_back(*item->staged);
            batch.held.push_back(*item->staged);
            if (item->isPast)
                batch.held.push_back(pastFile(item->announced));
        } else if (item->stage == Stage::Announced && m_parts.store.signedUploads() != nullptr) {
            batch.past.push_back({item->announced, item->method, publication});
            if (item->isPast)
                batch.held.push_back(pastFile(item->announced));
        } else {
            return fail(ErrorCode::Conflict,
                        fmt::format("{} {}", publication.path.print(m_rules->dir),
                                    item->stage == Stage::Announced
                                        ? "was announced but not sent; send it by PUT /transfer/nar first"
                                        : "is being sent or published already"));
        }
        if (!publication.upload.empty() && publication.upload != item->upload)
            return fail(ErrorCode::Conflict, fmt::format("{} has another upload in parts than the one named",
                                                         publication.path.print(m_rules->dir)));
        batch.taken.push_back(publication.path);
    }
    for (const auto& path : batch.taken)
        m_sessions.find(sender, path)->stage = Stage::Publishing;
    return batch;
}

void TransferDesk::publish(Sender sender, std::vector<Publication> paths, Answer<void> answer)
{
    withFacts(sender, [this, sender, paths = std::move(paths),
                       answer = std::move(answer)](const Result<Facts>& facts) {
        if (!facts)
            return answer(fail(facts.error()));
        auto gathered = gather(sender, paths);
        if (!gathered)
            return answer(fail(std::move(gathered).error()));
        auto batch = std::make_shared<Batch>(*std::move(gathered));
        auto work = [&store = m_parts.store, rules = m_rules, told = m_options.published, batch]() -> Result<bool> {
            PENSTOCK_TRY(const auto present, store.findMany(batch->present));
            for (const auto& path : batch->present) {
                if (!present.contains(path))
                    return fail(ErrorCode::Conflict,
                                fmt::format("{} was neither announced nor is it there; announce and send it first",
                                            path.print(rules->dir)));
            }
            for (const auto& each : batch->past) {
                PENSTOCK_TRY_VOID(complete(store, each.announced, each.publication));
                PENSTOCK_TRY(auto staged, store.adopt(each.announced, each.method));
                batch->staged.push_back(std::move(staged));
            }
            PENSTOCK_TRY_VOID(store.publish(batch->staged));
            // Also what was there before: a former try may have ended between the two.
            std::vector<nix::StorePath> shown(batch->present.begin(), batch->present.end());
            for (const auto& info : batch->staged)
                shown.push_back(info.path);
            if (told)
                PENSTOCK_TRY_VOID(told(shown));
            return true;
        };
        onThread<bool>(m_bodies, std::move(work), [this, sender, batch, answer](const Result<bool>& published) {
            settle(sender, *batch, published.has_value());
            if (!published)
                return answer(fail(published.error()));
            m_counters.published += batch->staged.size();
            answer({});
        });
    });
}

void TransferDesk::settle(const Sender& sender, const Batch& batch, bool published)
{
    if (published) {
        for (const auto& info : batch.staged)
            m_holds.keep(info.narHash);
    }
    for (const auto& path : batch.taken) {
        auto* item = m_sessions.find(sender, path);
        if (item == nullptr || published) {
            // Ended meanwhile, or shown: in either case it waits for nobody any more.
            for (const auto& info : batch.held) {
                if (info.path == path)
                    letGo(info, true);
            }
            m_sessions.remove(sender, path);
        } else {
            item->stage = item->staged ? Stage::Staged : Stage::Announced;
        }
    }
}

void TransferDesk::letGo(const nix::NarInfo& nar, bool isStored)
{
    if (!m_holds.release(nar.narHash, isStored) || m_parts.files == nullptr)
        return;
    ++m_counters.discarded;
    m_parts.logger.info("transfer.discarded", {{"path", nar.path.baseName()}, {"file", nar.url}});
    onThread<bool>(
        m_questions,
        [files = m_parts.files, url = nar.url]() -> Result<bool> {
            PENSTOCK_TRY_VOID(files->remove(url));
            return true;
        },
        [this, hash = nar.narHash, url = nar.url](const Result<bool>& removed) {
            m_holds.removed(hash);
            if (!removed)
                m_parts.logger.warning("transfer.left_over", {{"file", url}, {"error", removed.error().message}});
        });
}

void TransferDesk::discard(std::vector<Item> items)
{
    for (auto& item : items) {
        if (item.staged)
            letGo(*item.staged, true);
        if (item.isPast)
            letGo(pastFile(item.announced), true);
        if (item.upload.empty() || m_parts.store.signedUploads() == nullptr)
            continue;
        onThread<bool>(
            m_questions,
            [&store = m_parts.store, info = item.announced, upload = item.upload]() -> Result<bool> {
                PENSTOCK_TRY_VOID(store.signedUploads()->abortParts(store.narKey(info), upload));
                return true;
            },
            [this, path = item.announced.path.baseName()](const Result<bool>& aborted) {
                if (!aborted)
                    m_parts.logger.warning("transfer.left_over", {{"path", path}, {"error", aborted.error().message}});
            });
    }
}

} // namespace penstock::transfer
