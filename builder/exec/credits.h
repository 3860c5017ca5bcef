// SPDX-License-Identifier: GPL-3.0-or-later
// Credits: a semaphore that an interrupt can end waiting for. From any thread. Errors: Internal when out of files.
#pragma once

#include "shared/base/result.h"
#include "shared/nixdaemon/unix_socket.h"

#include <memory>

namespace penstock::builder {

// So many of something at a time, on whatever threads: news under way to the loop (the attempt's thread takes
// a credit for each piece and the loop gives it back when the piece is delivered, so that a slow log slows
// the build and nothing grows), builds of a machine. Copies share it.
class Credits {
public:
    [[nodiscard]] static Result<Credits> create(unsigned count);

    void give() const;
    // Waits for one. False: the interrupt was raised.
    [[nodiscard]] bool take(const nixdaemon::Interrupt& interrupt) const;

private:
    explicit Credits(nixdaemon::FileDescriptor semaphore);
    std::shared_ptr<const nixdaemon::FileDescriptor> m_semaphore;
};

} // namespace penstock::builder
