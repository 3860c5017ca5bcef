// SPDX-License-Identifier: GPL-3.0-or-later
// Authenticator: turns a connection's address and bearer token into an Identity. Tokens come from a TokenSource and
// are kept in a bounded cache for a short time. Lives on one loop; answers come on it, now or later.
// Errors: Denied with a text for the peer; Unavailable when the tokens cannot be read now.
#pragma once

#include "server/auth/identity.h"
#include "server/auth/policy.h"
#include "server/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/result.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace penstock::auth {

template <class T> using Answer = std::function<void(Result<T>)>;

struct TokenSource {
    virtual ~TokenSource() = default;
    // Answered on the authenticator's loop. NotFound when there is none.
    virtual void findToken(std::string id, Answer<store::TokenRow> answer) = 0;
};

// Credentials that are no tokens: grants of attempts.
struct GrantSource {
    virtual ~GrantSource() = default;
    [[nodiscard]] virtual bool isGrant(std::string_view credential) const = 0;
    // Answered on the authenticator's loop. Denied: not ours, or the attempt is over.
    virtual void findGrant(std::string grant, Answer<Identity> answer) = 0;
};

class Authenticator {
public:
    Authenticator(const Clock& clock, TokenSource& source, Mode mode);
    ~Authenticator();

    void setGrants(GrantSource* grants); // outlives this; null: none are known

    // bearer: the token of the Authorization header, or empty.
    void identify(const PeerAddress& peer, std::string bearer, Answer<Identity> answer);
    void forget(const std::string& tokenId); // after a revocation
    [[nodiscard]] std::uint64_t refusals() const;

private:
    struct State;
    std::shared_ptr<State> m_state;
};

} // namespace penstock::auth
