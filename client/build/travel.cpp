// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/build/travel.h"

#include "shared/base/text.h"
#include "shared/transfer/fetcher.h"
#include "shared/transfer/sender.h"

#include <chrono>
#include <fmt/format.h>
#include <utility>

namespace penstock::client {

namespace {

constexpr unsigned kStreams = 4;

std::string mebibytes(std::uint64_t bytes)
{
    return fmt::format("{:.1f}", static_cast<double>(bytes) / (1U << 20U));
}

Result<nix::StorePathSet> parsePaths(const nix::StoreDir& dir, const std::vector<std::string>& paths)
{
    nix::StorePathSet parsed;
    for (const auto& path : paths) {
        PENSTOCK_TRY(auto one, nix::StorePath::parse(dir, path));
        parsed.insert(std::move(one));
    }
    return parsed;
}

std::shared_ptr<const transfer::Road> openRoad(const Invocation& invocation, const nix::StoreDir& dir)
{
    curl::HttpClientOptions http;
    http.caFile = invocation.globals().tlsCa;
    http.clientCertFile = invocation.globals().tlsCert;
    http.clientKeyFile = invocation.globals().tlsKey;
    transfer::RoadOptions options;
    options.server = [server = invocation.api().endpoint().text()] { return server; };
    options.credential = invocation.api().token();
    options.storeDir = dir;
    return std::make_shared<const transfer::Road>(std::move(options), std::make_shared<transfer::RoadClients>(http));
}

} // namespace

std::string transferLine(std::string_view what, const transfer::TransferProgress& progress, Duration since)
{
    const auto seconds = std::chrono::duration<double>(since).count();
    const auto rate = seconds > 0 ? static_cast<double>(progress.bytesDone) / seconds : 0.0;
    return fmt::format("{}: {} of {} paths, {} of {} MiB, {:.1f} MiB/s", what, progress.pathsDone, progress.paths,
                       mebibytes(progress.bytesDone), mebibytes(progress.bytes), rate / (1U << 20U));
}

// A server without the road answers 404 here, as for every address that it does not know.
Result<bool> Travel::serverHasRoad()
{
    const auto info = m_invocation.api().get("/nix-cache-info");
    if (!info) {
        if (info.error().code == ErrorCode::NotFound)
            return false;
        return fail(Error(info.error()).in("asking the server for its store"));
    }
    constexpr std::string_view kField = "StoreDir: ";
    for (const auto line : split(info->body, '\n'))
        if (line.starts_with(kField) && trim(line.substr(kField.size())) != m_store.dir().text())
            return fail(ErrorCode::Invalid, fmt::format("the server's store directory is {}, this machine's {}; paths "
                                                        "of one cannot be used in the other",
                                                        trim(line.substr(kField.size())), m_store.dir().text()));
    return true;
}

transfer::OnProgress Travel::shower(std::string what)
{
    return [this, what = std::move(what), began = m_clock.now().mono](const transfer::TransferProgress& progress) {
        if (progress.paths > 0)
            m_invocation.console().live({transferLine(what, progress, m_clock.now().mono - began)});
    };
}

void Travel::sum(std::string_view what, const transfer::TransferProgress& done, Duration took)
{
    m_invocation.console().clearLive();
    if (done.paths > 0)
        m_invocation.console().note(transferLine(what, done, took));
}

Result<void> Travel::sendSources(const std::vector<std::string>& paths)
{
    if (paths.empty())
        return {};
    PENSTOCK_TRY(const bool isThere, serverHasRoad());
    if (!isThere)
        return {};
    const auto began = m_clock.now().mono;
    PENSTOCK_TRY(const auto wanted, parsePaths(m_store.dir(), paths));
    PENSTOCK_TRY(auto interrupt, nixdaemon::Interrupt::create());
    PENSTOCK_TRY(auto valid, m_store.maker()(interrupt)->validPaths(wanted, false));
    if (valid.size() < wanted.size())
        m_invocation.console().note(fmt::format("{} of {} sources are not in the local store; the server must have "
                                                "them", wanted.size() - valid.size(), wanted.size()));
    transfer::Sender sender({kStreams, "/tmp"});
    transfer::SendOrder order{.paths = std::move(valid),
                              .road = openRoad(m_invocation, m_store.dir()),
                              .store = m_store.maker(),
                              .interrupt = std::move(interrupt),
                              .onProgress = shower("sources")};
    const auto sent = sender.send(order);
    if (!sent && sent.error().code == ErrorCode::Denied)
        return fail(ErrorCode::Denied,
                    fmt::format("{}\nThe server takes sources only when they have a content address or a signature "
                                "that it trusts. A path that was built here has neither: let the expression refer to "
                                "its derivation instead of to the path, or make it content-addressed (nix store "
                                "make-content-addressed), or sign it with a key of the server's --trusted-public-keys "
                                "(nix store sign)", sent.error().message));
    if (!sent)
        return fail(Error(sent.error()).in("sending the sources"));
    sum("sources", *sent, m_clock.now().mono - began);
    return {};
}

Result<void> Travel::fetch(const std::vector<std::string>& paths, const std::vector<nix::PublicKey>& trustedKeys)
{
    const auto began = m_clock.now().mono;
    PENSTOCK_TRY(auto wanted, parsePaths(m_store.dir(), paths));
    PENSTOCK_TRY(auto interrupt, nixdaemon::Interrupt::create());
    transfer::Fetcher fetcher({kStreams, trustedKeys});
    transfer::FetchOrder order{.paths = std::move(wanted),
                               .road = openRoad(m_invocation, m_store.dir()),
                               .store = m_store.maker(),
                               .interrupt = std::move(interrupt),
                               .onProgress = shower("outputs")};
    const auto fetched = fetcher.fetch(order);
    if (!fetched)
        return fail(Error(fetched.error()).in("copying the outputs back"));
    sum("outputs", *fetched, m_clock.now().mono - began);
    return {};
}

} // namespace penstock::client
