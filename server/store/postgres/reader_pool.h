// SPDX-License-Identifier: GPL-3.0-or-later
// ReaderPool: a few threads, each with a connection, that take questions from one bounded queue. A question is tried
// again after a lost connection; it must therefore do no harm when asked twice. ask() from any thread.
#pragma once

#include "server/store/postgres/connection.h"
#include "server/store/store.h"
#include "shared/base/queue.h"

#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::store::postgres {

constexpr std::size_t kMaxQuestions = 1'024; // waiting; more are refused with Exhausted

class ReaderPool {
public:
    // name: of its sessions, as an administrator of the database sees them.
    ReaderPool(std::string connectionString, int readers, std::string name = "penstock-reader");
    ~ReaderPool(); // what still waits is answered with Cancelled
    ReaderPool(const ReaderPool&) = delete;
    ReaderPool& operator=(const ReaderPool&) = delete;

    template <class T> void ask(std::function<Result<T>(Connection&)> query, Answer<T> answer)
    {
        Question question = [this, query = std::move(query), answer](std::optional<Connection>& connection) {
            Result<T> result = fail(ErrorCode::Cancelled, "the store is being stopped");
            for (int tries = 1; mayTry(tries); ++tries) {
                const Result<void> connected = connect(connection);
                if (connected)
                    result = query(*connection);
                else
                    result = fail(connected.error());
                if (result || result.error().code != ErrorCode::Unavailable)
                    break;
            }
            answer(std::move(result));
        };
        if (!m_queue.push(std::move(question)))
            answer(fail(tooMany()));
    }

private:
    using Question = std::function<void(std::optional<Connection>&)>;

    void run();
    [[nodiscard]] bool mayTry(int tries) const; // pauses before another try
    [[nodiscard]] Result<void> connect(std::optional<Connection>& connection) const;
    [[nodiscard]] static Error tooMany();

    std::string m_connectionString;
    std::string m_name;
    StopSignal m_stop;
    BoundedQueue<Question> m_queue;
    std::vector<std::thread> m_threads;
};

} // namespace penstock::store::postgres
