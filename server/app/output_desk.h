// SPDX-License-Identifier: GPL-3.0-or-later
// OutputDesk: everything of the server that has to do with outputs: the stores, who signs, the desk for transfers,
// grants, the check that a build's outputs are there before it counts as succeeded, and build logs. Lives on the net
// loop; what blocks runs on threads of its own.
#pragma once

#include "server/app/derivation_texts.h"
#include "server/app/further_stores.h"
#include "server/app/output_options.h"
#include "server/app/store_opening.h"
#include "server/auth/authenticator.h"
#include "server/cache/fallback_store.h"
#include "server/cache/output_store.h"
#include "server/dispatch/dispatcher.h"
#include "server/http/metric.h"
#include "server/logs/log_store.h"
#include "server/transfer/grants.h"
#include "server/transfer/transfer_desk.h"
#include "shared/config/options.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace penstock::app {

struct OutputParts { // all outlive the desk
    Loop& loop;      // the net loop
    const Clock& clock;
    Logger& logger;
    dispatch::Dispatcher& dispatcher;
    logs::LogStore& logs;
    DerivationTexts& texts;
    // Told of outputs before they count, on a thread that may wait; null: nobody is.
    std::function<void(const nix::StorePathSet&)> keepRoots = {};
};

// Opened before anything else; blocking.
struct OpenedOutputs {
    std::vector<OpenedStore> stores; // the first is the one whose presence counts
    std::optional<OpenedStore> local; // the machine's own, when it is none of them and inputs are read there
    // The first, and behind it the machine's own; null: the first alone.
    std::unique_ptr<cache::FallbackStore> inputs;
    std::unique_ptr<FurtherStores> further; // feeds the others; after the stores, as it uses them
    std::vector<std::string> publicKeys;
    transfer::GrantKey grants;
    transfer::UploadRules rules;
};
struct OutputPlaces {
    std::string dataDir;
    std::string serverName;
    std::string storeDir;
    config::Environment environment; // systemd's credentials, AWS_* variables
    bool readsLocal = false; // inputs of builds may lie in the machine's own Nix store only
};
[[nodiscard]] Result<OpenedOutputs> openOutputs(const OutputOptions& options, const OutputPlaces& places,
                                                const Clock& clock, Logger& logger);

class OutputDesk final : public transfer::AttemptSource, public auth::GrantSource {
public:
    OutputDesk(OutputParts parts, OpenedOutputs opened);
    ~OutputDesk() override;

    // Calls of stores that run, whoever's, end soon, and later ones fail. For the end of the server.
    void stopStores() const;

    [[nodiscard]] transfer::TransferDesk& transfers() { return *m_transfers; }
    [[nodiscard]] cache::OutputStore& firstStore() const { return *m_opened.stores.front().store; }
    [[nodiscard]] const nix::StoreDir& storeDir() const { return m_opened.rules.dir; }
    // The machine's own Nix store, where it was opened; null: it was not.
    [[nodiscard]] const OpenedStore* machineStore() const;
    [[nodiscard]] std::string grant(AttemptId attempt) const { return m_opened.grants.grant(attempt); }
    [[nodiscard]] const std::vector<std::string>& publicKeys() const { return m_opened.publicKeys; }
    [[nodiscard]] std::vector<std::string> describeStores() const;
    [[nodiscard]] FurtherStores& further() const { return *m_opened.further; }
    void addMetrics(std::vector<http::MetricFamily>& families) const;

    // A builder says that a build succeeded and where its outputs are. Handed on to the core at once, late, or as a
    // failure of the machine: when some output is certainly not in the first store. While that is not known, it waits.
    // Of an attempt that the core knows for this session's machine's. A repeat of a result that waits takes its place.
    void check(SessionId session, protocol::AttemptResult result);
    // For the core. drvPath: whose log is to be kept once it is whole; empty: none is.
    void attemptEnded(AttemptId attempt, const std::string& drvPath);
    void logEnded(AttemptId attempt); // its log is whole

    void attemptWork(AttemptId attempt, transfer::Answer<transfer::AttemptWork> answer) override;
    [[nodiscard]] bool isGrant(std::string_view credential) const override;
    void findGrant(std::string grant, auth::Answer<auth::Identity> answer) override;

private:
    struct Checked {
        SessionId session;
        protocol::AttemptResult result;
        unsigned tries = 0;
    };
    struct Expected {
        bool isLive = false;
        std::vector<work::NixOutput> outputs;
        std::optional<core::LiveWork> open; // when some output's path is known only after the build
    };
    struct Told { // what a result says
        nix::StorePathSet paths;
        std::map<std::string, nix::StorePath> revealed; // of these, by output: what nobody could know before
    };
    // Looks at what was told, and shows what its content-addressed outputs became. Blocks. An error: not known; else
    // what is wrong with it, or nothing.
    [[nodiscard]] Result<std::string> settle(AttemptId attempt, const Told& told,
                                             const std::optional<transfer::AttemptWork>& work) const;
    // To further stores what is right and did not come by us: its builder put it into the machine's own store.
    [[nodiscard]] Result<void> passOn(const Told& told) const;
    template <class T>
    void ask(std::function<Result<T>(const core::FarmCore&)> question, std::function<void(Result<T>)> answer);
    // Errors are Unavailable, or Internal when the text cannot be had.
    void withText(core::LiveWork live, transfer::Answer<transfer::AttemptWork> answer);
    void look(AttemptId attempt);
    void expect(AttemptId attempt, Expected expected);
    void compare(AttemptId attempt, const Expected& expected, const std::optional<transfer::AttemptWork>& work);
    void judged(AttemptId attempt, const Result<std::string>& wrong);
    void handOn(AttemptId attempt, std::string failure, bool isMachines = true);
    void later(AttemptId attempt, const Error& error);
    void keepLog(AttemptId attempt, const std::string& drvPath);
    void tidy(std::size_t store);

    OutputParts m_parts;
    OpenedOutputs m_opened;
    std::map<AttemptId, Checked> m_checked;
    std::map<AttemptId, std::string> m_logOf; // attempts that are over, by whose derivation's log they write
    std::uint64_t m_missing = 0;   // results that became failures
    std::uint64_t m_unknown = 0;   // looks that found out nothing
    std::uint64_t m_logsKept = 0;
    std::uint64_t m_logsLost = 0;
    std::shared_ptr<bool> m_alive; // answers that come home after our end look here first
    std::unique_ptr<transfer::TransferDesk> m_transfers;
    std::unique_ptr<transfer::WorkerPool> m_workers; // last: their threads use all of the above
};

} // namespace penstock::app
