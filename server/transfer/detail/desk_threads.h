// SPDX-License-Identifier: GPL-3.0-or-later
// How TransferDesk runs what blocks and brings the answers home: the body of its private template.
#pragma once

#include "server/transfer/transfer_desk.h"

#include <utility>

namespace penstock::transfer {

template <class T>
void TransferDesk::onThread(WorkerPool& pool, std::function<Result<T>()> work, Answer<T> answer)
{
    auto task = [&home = m_parts.home, alive = m_alive, work = std::move(work), answer]() {
        home.post([alive, answer, result = work()]() mutable {
            if (*alive)
                answer(std::move(result));
        });
    };
    if (!pool.run(std::move(task)))
        answer(fail(ErrorCode::Unavailable, "as many transfers as the server allows are under way; try again"));
}

} // namespace penstock::transfer
