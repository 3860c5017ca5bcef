// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/auth/authenticator.h"

#include "server/auth/tokens.h"

#include <fmt/format.h>

#include <utility>

namespace penstock::auth {
namespace {

constexpr std::size_t kMaxCached = 10'000;
// A revocation through this server forgets at once; this is for those made elsewhere.
constexpr std::chrono::seconds kCacheTime{30};

struct Cached {
    store::TokenRow row;
    Instant until;
};

Result<Identity> identityOf(const store::TokenRow& row, const TokenParts& parts, WallTime now)
{
    PENSTOCK_TRY_VOID(checkToken(row, parts, now));
    return Identity{row.kind == "builder" ? Kind::Builder : Kind::Client, row.id, row.name};
}

} // namespace

struct Authenticator::State {
    const Clock& clock;
    TokenSource& source;
    Mode mode;
    std::map<std::string, Cached> cache; // by token id; emptied when full
    std::uint64_t refusals = 0;
    GrantSource* grants = nullptr;

    void keep(const store::TokenRow& row)
    {
        if (cache.size() >= kMaxCached)
            cache.clear();
        cache.insert_or_assign(row.id, Cached{row, clock.now().mono + kCacheTime});
    }

    void finish(Result<Identity> result, const Answer<Identity>& answer)
    {
        if (!result)
            ++refusals;
        answer(std::move(result));
    }
};

Authenticator::Authenticator(const Clock& clock, TokenSource& source, Mode mode)
    : m_state(std::make_shared<State>(State{clock, source, mode, {}, 0, nullptr}))
{
}

Authenticator::~Authenticator() = default;

void Authenticator::identify(const PeerAddress& peer, std::string bearer, Answer<Identity> answer)
{
    if (bearer.empty()) {
        auto allowed = mayComeWithoutToken(peer, m_state->mode);
        if (!allowed)
            return m_state->finish(fail(std::move(allowed).error()), answer);
        return m_state->finish(Identity{Kind::Local, "local", "local"}, answer);
    }
    if (m_state->grants != nullptr && m_state->grants->isGrant(bearer)) {
        m_state->grants->findGrant(std::move(bearer), [weak = std::weak_ptr(m_state),
                                                       answer = std::move(answer)](Result<Identity> who) {
            if (const auto state = weak.lock())
                return state->finish(std::move(who), answer);
            answer(fail(ErrorCode::Unavailable, "the server is stopping"));
        });
        return;
    }
    auto parts = splitToken(bearer);
    if (!parts)
        return m_state->finish(fail(std::move(parts).error()), answer);
    const auto now = m_state->clock.now();
    if (const auto found = m_state->cache.find(parts->id);
        found != m_state->cache.end() && found->second.until > now.mono)
        return m_state->finish(identityOf(found->second.row, *parts, now.wall), answer);
    const std::string id = parts->id;
    m_state->source.findToken(
        id, [weak = std::weak_ptr(m_state), parts = *std::move(parts),
             answer = std::move(answer)](Result<store::TokenRow> row) {
            const auto state = weak.lock();
            if (!state)
                return answer(fail(ErrorCode::Unavailable, "the server is stopping"));
            if (!row && row.error().code == ErrorCode::NotFound)
                return state->finish(fail(ErrorCode::Denied, "the token is not valid"), answer);
            if (!row)
                return state->finish(fail(ErrorCode::Unavailable, "tokens cannot be checked now; try again: " +
                                                                      row.error().message), answer);
            state->keep(*row);
            state->finish(identityOf(*row, parts, state->clock.now().wall), answer);
        });
}

void Authenticator::setGrants(GrantSource* grants)
{
    m_state->grants = grants;
}

void Authenticator::forget(const std::string& tokenId)
{
    m_state->cache.erase(tokenId);
}

std::uint64_t Authenticator::refusals() const
{
    return m_state->refusals;
}

} // namespace penstock::auth
