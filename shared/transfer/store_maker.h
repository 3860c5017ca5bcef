// SPDX-License-Identifier: GPL-3.0-or-later
// What fetching and sending have in common: how they come by a store, how far they are, and who else looks.
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

// Called at the beginning of each reading of a path that travels, on the thread that reads: what is given is handed all
// bytes of its NAR in order, and is handed them anew when the path is read once more. Empty: not of interest. Errors of
// it count as the store's.
using TapNar = std::function<ByteSink(const nix::StorePath&)>;

} // namespace penstock::transfer
