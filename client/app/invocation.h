// SPDX-License-Identifier: GPL-3.0-or-later
// What every command gets: the global flags as resolved, the console, and the way to the server. One thread.
#pragma once

#include "client/api/api_client.h"
#include "client/app/console.h"
#include "client/app/exit_code.h"
#include "client/output/records.h"
#include "shared/config/options.h"

#include <functional>
#include <string>
#include <string_view>

namespace penstock::client {

struct Globals {
    std::string nameSpace; // empty: the server's default
    std::string user;      // who submits, as this machine knows them
    bool json = false;
    bool quiet = false;
    Duration reconnectTimeout{0};
    std::string tlsCa; // files; empty: none given
    std::string tlsCert;
    std::string tlsKey;
    config::Environment environment; // of the program, for what follows the conventions of others
};

class Invocation {
public:
    Invocation(Globals globals, Console& console, ApiClient api);

    [[nodiscard]] const Globals& globals() const { return m_globals; }
    [[nodiscard]] Console& console() { return m_console; }
    [[nodiscard]] const ApiClient& api() const { return m_api; }
    [[nodiscard]] View view() const;

    // Says the error on standard error; the result is what the command returns.
    int complain(const Error& error);
    // The server's document as it came, on one line of its own.
    void printJson(std::string_view document);
    // A GET whose answer is printed: with --json as it came, else rendered.
    int show(const std::string& target,
             const std::function<std::string(const QJsonObject&, const View&)>& render);

private:
    Globals m_globals;
    Console& m_console;
    ApiClient m_api;
};

} // namespace penstock::client
