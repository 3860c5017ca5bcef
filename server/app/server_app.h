// SPDX-License-Identifier: GPL-3.0-or-later
// ServerApp: builds the parts of penstock-server, wires them, starts them in order and stops them in reverse. The one
// place that knows all modules. Lives on the main thread, which is the net loop (listener, links, HTTP, feed); the core
// has a loop of its own, the store and the logs have their threads.
#pragma once

#include "server/app/server_options.h"
#include "shared/base/log.h"
#include "shared/base/result.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace penstock::app {

class ServerApp {
public:
    // Blocks until the database is there and the open work is loaded; then listens. An error text says what to do.
    // fatal: called on the main thread when the server can no longer go on (it lost the database to another server).
    [[nodiscard]] static Result<std::unique_ptr<ServerApp>> start(ServerOptions options, Logger& logger,
                                                                  std::function<void(const Error&)> fatal);
    ~ServerApp(); // what is with the store is finished, the embedded database ends
    ServerApp(const ServerApp&) = delete;
    ServerApp& operator=(const ServerApp&) = delete;

    // Accepts no more and tells every peer; done is called when they had time to hear it. Then destroy this.
    void farewell(std::function<void()> done);

    // SIGHUP: reads certificates and keys anew. What cannot be read is logged, and the former stay in force.
    void reload();
    [[nodiscard]] std::vector<std::string> boundAddresses() const;
    // One line for systemd and people: "3 machines, 12 jobs open".
    void describe(std::function<void(std::string)> answer);

private:
    struct Parts;
    explicit ServerApp(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> m_parts;
};

} // namespace penstock::app
