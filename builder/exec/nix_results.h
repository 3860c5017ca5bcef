// SPDX-License-Identifier: GPL-3.0-or-later
// What the outputs of one build say of themselves, taken from their NARs while those are read for sending; what did
// not have to travel is read once for this, and outputs that name products a second time, for the hashes. No file is
// opened.
// In memory: at most kMaxSupportBytes of nix-support files for all outputs, then protocol::kMaxResultsBytes.
//
// What a build wrote can never make this fail: it is left out, and said in the notes. Errors: Cancelled and Unavailable
// of whoever reads.
#pragma once

#include "shared/base/stream.h"
#include "shared/nix/nix_support.h"
#include "shared/nixdaemon/daemon_connection.h"
#include "shared/protocol/link_values.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace penstock::builder {

inline constexpr std::size_t kMaxSupportBytes = 3 * nix::kMaxSupportFile; // there are three files an output

// All bytes of the path's NAR in order.
using ReadNar = std::function<Result<void>(const nix::StorePath&, const ByteSink&)>;

struct CollectedResults {
    protocol::NixResults results;
    std::vector<std::string> notes; // for the log
};

class ResultCollector {
public:
    // outputs: by name.
    ResultCollector(nix::StoreDir dir, std::map<std::string, nix::StorePath> outputs);

    // For the bytes of one reading of the path's NAR, from its beginning; a new one forgets the one before. It fails
    // never. Empty: none of the outputs. From any thread; a path by one at a time, and none once finish() is called.
    [[nodiscard]] ByteSink tap(const nix::StorePath& path);
    [[nodiscard]] Result<CollectedResults> finish(const ReadNar& read);

private:
    struct Reading;
    [[nodiscard]] std::size_t maxFile() const;
    [[nodiscard]] Result<nix::SupportFiles> take(const nix::StorePath& path, const ReadNar& read);
    [[nodiscard]] Result<void> lookForProducts(nix::NixSupport& support, const ReadNar& read) const;
    [[nodiscard]] CollectedResults convert(nix::NixSupport&& support) const;

    nix::StoreDir m_dir;
    std::map<std::string, nix::StorePath> m_outputs;
    std::map<nix::StorePath, std::shared_ptr<Reading>> m_readings; // its keys never change
};

// The machine's or the network's trouble, or nobody wants it any more; all other errors are about the bytes.
[[nodiscard]] bool isOfMachine(const Error& error);

// Bytes of the NARs of all that the paths need, themselves included, each path once. NotFound when some is not valid,
// Exhausted when there are more than 500,000.
[[nodiscard]] Result<std::uint64_t> closureSize(nixdaemon::DaemonConnection& daemon, const nix::StorePathSet& paths);

} // namespace penstock::builder
