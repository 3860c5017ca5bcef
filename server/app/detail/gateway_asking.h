// SPDX-License-Identifier: GPL-3.0-or-later
// How FarmGateway asks other threads and brings their answers home: the bodies of its private templates, for the files
// that implement it. Net loop.
#pragma once

#include "server/app/farm_gateway.h"

#include <fmt/format.h>
#include <utility>

namespace penstock::app {

inline constexpr std::size_t kMaxWaiting = 100'000;

inline Error tooManyWaiting()
{
    return {ErrorCode::Exhausted,
            fmt::format("{} requests are waiting for the database already; try again later", kMaxWaiting)};
}

template <class T> http::Answer<T> FarmGateway::bringHome(http::Answer<T> answer)
{
    return [&loop = m_parts.loop, alive = m_alive, answer = std::move(answer)](Result<T> result) {
        loop.post([alive, answer, result = std::move(result)]() mutable {
            if (*alive)
                answer(std::move(result));
        });
    };
}

template <class T>
void FarmGateway::ask(std::function<Result<T>(const core::FarmCore&, Now)> question, http::Answer<T> answer)
{
    m_parts.dispatcher.ask([question = std::move(question), home = bringHome<T>(std::move(answer))](
                               const core::FarmCore& farm, Now now) { home(question(farm, now)); });
}

template <class Make> void FarmGateway::request(Make make, Waiting waiting)
{
    const RequestId id{m_nextRequest++};
    if (m_waiting.size() >= kMaxWaiting)
        return waiting(core::Reply{id, fail(tooManyWaiting()), 0});
    m_waiting.emplace(id, std::move(waiting));
    m_parts.dispatcher.post(make(id));
}

} // namespace penstock::app
