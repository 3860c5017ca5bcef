// SPDX-License-Identifier: GPL-3.0-or-later
// What fetching and sending have in common: how they come by a store, and how far they are.
#pragma once

#include "shared/nixdaemon/unix_socket.h"
#include "shared/nixstore/store_access.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace penstock::transfer {

// A store whose calls end with Cancelled once the interrupt is raised. Cheap; callable from any thread.
using StoreMaker = std::function<std::unique_ptr<nixstore::StoreAccess>(const nixdaemon::Interrupt&)>;

struct TransferProgress {
    std::size_t paths = 0; // that have to travel
    std::size_t pathsDone = 0;
    std::uint64_t bytes = 0; // of their NARs
    std::uint64_t bytesDone = 0;
    friend bool operator==(const TransferProgress&, const TransferProgress&) = default;
};
// Called on the thread that waits for the transfer, a few times a second.
using OnProgress = std::function<void(const TransferProgress&)>;

} // namespace penstock::transfer
