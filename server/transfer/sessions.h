// SPDX-License-Identifier: GPL-3.0-or-later
// Sessions: what senders have announced and brought but not published yet, one session per attempt or client. Bounded
// in number, in paths and in time. Belongs to one loop.
#pragma once

#include "server/transfer/upload_policy.h"
#include "shared/base/clock.h"
#include "shared/compress/codec.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::transfer {

// Whose upload it is: an attempt by its grant, or a client by its credential.
struct Sender {
    std::optional<AttemptId> attempt = std::nullopt;
    std::string credential; // token id or "local", when there is no attempt
    friend auto operator<=>(const Sender&, const Sender&) = default;
};

enum class Stage : std::uint8_t { Announced, Receiving, Staged, Publishing };

struct Item {
    nix::NarInfo announced;
    compress::Method method = compress::Method::None; // of the body that was asked for
    Stage stage = Stage::Announced;
    std::optional<nix::NarInfo> staged = {};
    std::string upload = {}; // id of an upload in parts, past us
    bool isPast = false;     // its file may come past us at any time; held until the item goes
};

struct Session {
    std::shared_ptr<const AttemptFacts> facts; // null for clients
    std::map<nix::StorePath, Item> items = {};
    Instant used = {};
};

struct SessionLimits {
    std::size_t sessions = 20'000;
    std::size_t itemsEach = 50'000;
    std::size_t items = 500'000;
    Duration idle = std::chrono::hours(2); // without a word; an attempt's session ends with the attempt, too
};

class Sessions {
public:
    explicit Sessions(SessionLimits limits = {}) : m_limits(limits) {}

    // Null when there is none.
    [[nodiscard]] Session* find(const Sender& sender);
    [[nodiscard]] Item* find(const Sender& sender, const nix::StorePath& path);
    // Exhausted names the limit.
    [[nodiscard]] Result<Session*> open(const Sender& sender, std::shared_ptr<const AttemptFacts> facts, Instant now);
    // A path that is there already keeps what was brought, unless it is announced otherwise.
    [[nodiscard]] Result<void> announce(const Sender& sender, Item item);
    void remove(const Sender& sender, const nix::StorePath& path);
    // What was brought and nobody published: it is to be thrown away.
    [[nodiscard]] std::vector<Item> drop(const Sender& sender);
    [[nodiscard]] std::vector<Item> dropIdle(Instant now);

    [[nodiscard]] std::size_t count() const { return m_sessions.size(); }
    [[nodiscard]] std::size_t items() const { return m_items; }
    // Full paths of what is staged and not published, at most so many.
    [[nodiscard]] std::vector<std::string> staged(const nix::StoreDir& dir, std::size_t most) const;
    [[nodiscard]] std::size_t stagedCount() const;

private:
    const SessionLimits m_limits;
    std::map<Sender, Session> m_sessions;
    std::size_t m_items = 0;
};

} // namespace penstock::transfer
