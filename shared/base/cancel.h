// SPDX-License-Identifier: GPL-3.0-or-later
// CancelToken: asks work on another thread to stop. Copies share one flag; callable from any thread.
#pragma once

#include <atomic>
#include <memory>

namespace penstock {

class CancelToken {
public:
    CancelToken() : m_flag(std::make_shared<std::atomic<bool>>(false)) {}
    void cancel() const { m_flag->store(true, std::memory_order_release); }
    [[nodiscard]] bool isCancelled() const { return m_flag->load(std::memory_order_acquire); }

private:
    std::shared_ptr<std::atomic<bool>> m_flag;
};

} // namespace penstock
