// SPDX-License-Identifier: GPL-3.0-or-later
// AssignmentDesk: what builders are told leaves here, in the order in which the core said it to each. Assignments of
// derivations come without text and input paths; they wait for them here, and what the core says to the same builder
// meanwhile waits behind. An assignment whose text cannot be had is left out, and the core is told. Lives on the net
// loop. What waits for one builder is bounded: one for which more waits is cut off, and gets it anew when it is back.
#pragma once

#include "server/app/derivation_texts.h"
#include "shared/base/clock.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"
#include "shared/base/loop.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace penstock::app {

// Each is called on the net loop, and may be so inside a call of the desk.
struct AssignmentActions {
    std::function<void(SessionId, protocol::Desired)> sendDesired;
    std::function<void(SessionId, std::vector<AttemptId>)> sendStored;
    std::function<void(SessionId, AttemptId, std::string why)> fail; // the attempt cannot be sent
    std::function<void(SessionId, std::string why)> cutOff;
};

class AssignmentDesk {
public:
    struct Parts { // all outlive the desk
        Loop& loop;
        const Clock& clock;
        Logger& logger;
        DerivationTexts& texts;
    };
    AssignmentDesk(Parts parts, AssignmentActions actions);
    ~AssignmentDesk();
    AssignmentDesk(const AssignmentDesk&) = delete;
    AssignmentDesk& operator=(const AssignmentDesk&) = delete;

    void desired(SessionId session, protocol::Desired desired);
    void stored(SessionId session, std::vector<AttemptId> attempts);
    void gone(SessionId session); // nothing more is sent to it

    [[nodiscard]] std::size_t waiting() const; // messages

    static constexpr std::size_t kMaxWaiting = 1'000; // for one session

private:
    struct Message {
        std::uint64_t ticket;
        std::variant<protocol::Desired, std::vector<AttemptId>> content;
        bool isReady;
        unsigned tries = 0;
    };
    using Queue = std::deque<Message>;

    void enqueue(SessionId session, Message message);
    [[nodiscard]] Message* find(SessionId session, std::uint64_t ticket);
    // Asks for the texts that the message lacks.
    void complete(SessionId session, std::uint64_t ticket);
    void textsCame(SessionId session, std::uint64_t ticket, const std::vector<AttemptId>& attempts,
                   std::vector<Result<DerivationTexts::Text>> texts);
    void flush(SessionId session);
    void send(SessionId session, Message message);

    Parts m_parts;
    AssignmentActions m_actions;
    std::map<SessionId, Queue> m_queues; // none empty
    std::uint64_t m_lastTicket = 0;
    std::shared_ptr<bool> m_alive; // answers that come after our end look here first
};

// What does not fit well below a frame's limit goes in messages of its own, the last with the revision: only then is it
// applied as a whole.
[[nodiscard]] std::vector<protocol::Desired> splitBySize(protocol::Desired desired);

} // namespace penstock::app
