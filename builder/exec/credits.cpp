// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/credits.h"

#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/eventfd.h>
#include <utility>

namespace penstock::builder {

Credits::Credits(nixdaemon::FileDescriptor semaphore)
    : m_semaphore(std::make_shared<const nixdaemon::FileDescriptor>(std::move(semaphore)))
{}

Result<Credits> Credits::create(unsigned count)
{
    nixdaemon::FileDescriptor semaphore(::eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE));
    if (!semaphore.isOpen())
        return fail(ErrorCode::Internal, "eventfd failed: too many open files?");
    return Credits(std::move(semaphore));
}

void Credits::give() const
{
    // Cannot fail: the counter never holds more than it was made with.
    static_cast<void>(::eventfd_write(m_semaphore->number(), 1));
}

bool Credits::take(const nixdaemon::Interrupt& interrupt) const
{
    for (;;) {
        std::array<pollfd, 2> waits{{{m_semaphore->number(), POLLIN, 0}, {interrupt.pollable(), POLLIN, 0}}};
        if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR)
            return false;
        if (waits[1].revents != 0)
            return false;
        eventfd_t one = 0;
        if (::eventfd_read(m_semaphore->number(), &one) == 0)
            return true;
    }
}

} // namespace penstock::builder
