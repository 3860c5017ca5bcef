// SPDX-License-Identifier: GPL-3.0-or-later
// BodyPipe: a request's body on its way from its connection to the thread that takes it; PiecePipe: an answer's body on
// its way from the thread that makes it to its connection. Both hold about 1 MiB at most: the socket is not read while
// the one is full, the maker sleeps while the other is. The loop's side never blocks; the other side does. Whichever
// side is left alone learns it: the taker by an error, the maker by Cancelled.
#pragma once

#include "shared/base/cancel.h"
#include "shared/base/loop.h"
#include "shared/base/queue.h"
#include "shared/base/result.h"

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::http {

inline constexpr std::size_t kPipePieceBytes = 64U << 10U;
inline constexpr std::size_t kPipePieces = 16;

class BodyPipe {
public:
    // wanted: run on the home loop whenever the taker waits for more.
    BodyPipe(Loop& home, Task wanted);

    // ---- home loop
    // False when full: the piece stays with the caller, who tries again when more is wanted.
    [[nodiscard]] bool offer(std::string& piece);
    void end();                        // all of it was offered
    void abandon(std::string reason);  // there will be no more of it
    // ---- one other thread
    // The next piece, empty at the end. Unavailable when the body ended before its end.
    [[nodiscard]] Result<std::string> next();

private:
    Loop& m_home;
    const Task m_wanted;
    BoundedQueue<std::string> m_pieces{kPipePieces};
    std::string m_reason; // written before m_broken
    CancelToken m_broken;
};

class PiecePipe {
public:
    // arrived: run on the home loop with every piece, in order.
    PiecePipe(Loop& home, std::function<void(std::string)> arrived);

    // ---- one other thread
    // Cancelled when nobody wants it any more.
    [[nodiscard]] Result<void> write(std::string_view bytes);
    [[nodiscard]] Result<void> flush(); // hands on what was kept to make a piece full
    // ---- home loop
    void took();   // one more piece has left
    void cancel(); // also callable twice

private:
    struct Credit {};
    Loop& m_home;
    const std::function<void(std::string)> m_arrived;
    BoundedQueue<Credit> m_credits{kPipePieces};
    CancelToken m_cancelled;
    std::string m_kept;
};

} // namespace penstock::http
