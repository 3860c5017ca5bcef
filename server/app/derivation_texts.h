// SPDX-License-Identifier: GPL-3.0-or-later
// DerivationTexts: the text and the input paths of a derivation when somebody needs them, as the core keeps neither:
// from the row of its step, which has what a client sent, or from its file in the server's own Nix store. What was read
// lately is kept, within a bound of bytes. Lives on the home loop; what blocks runs on threads of its own.
#pragma once

#include "server/app/derivation_files.h"
#include "server/http/metric.h"
#include "server/store/store.h"
#include "server/transfer/worker_pool.h"
#include "shared/base/ids.h"
#include "shared/base/loop.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace penstock::app {

struct TextOptions {
    std::string realDir = {};  // where the files of the store directory are
    bool isFilesFirst = false; // most derivations are files, such as those of a Hydra
    std::size_t cacheBytes = 64U << 20U;
};

class DerivationTexts {
public:
    struct Wanted {
        StepId step;
        std::string drvPath;
    };
    using Text = std::shared_ptr<const DerivationText>;
    // In the order asked. Errors that stay: the text is neither stored nor a readable file; they name the path.
    using Answer = std::function<void(std::vector<Result<Text>>)>;

    // home and store outlive it.
    DerivationTexts(Loop& home, store::Store& store, nix::StoreDir dir, TextOptions options);
    ~DerivationTexts();
    DerivationTexts(const DerivationTexts&) = delete;
    DerivationTexts& operator=(const DerivationTexts&) = delete;

    // Answered on the home loop; inside the call when all of it is known.
    void find(std::vector<Wanted> wanted, Answer answer);

    void addMetrics(std::vector<http::MetricFamily>& families) const;

private:
    enum class Source : std::uint8_t { Rows, Files };
    struct Question {
        std::vector<Wanted> wanted;
        std::vector<Result<Text>> answers;
        std::size_t left = 0; // not answered yet
        Answer answer;
    };
    using Asked = std::shared_ptr<Question>;
    using Places = std::vector<std::size_t>; // in Question::wanted

    void ask(const Asked& asked, Places places, Source source);
    void askRows(const Asked& asked, Places places);
    void rowsCame(const Asked& asked, const Places& places, Result<std::vector<store::StoredDerivation>> rows);
    void askFiles(const Asked& asked, Places places);
    // Not in this source: the other one is asked, when it was not yet.
    void missing(const Asked& asked, const Places& places, Source source);
    void settle(const Asked& asked, std::size_t place, Result<Text> text);
    [[nodiscard]] bool isLast(Source source) const { return (source == Source::Rows) == m_options.isFilesFirst; }

    Loop& m_home;
    store::Store& m_store;
    const TextOptions m_options;
    detail::ByteCache<DerivationText> m_cache; // by path
    std::size_t m_waiting = 0;     // derivations asked for and not answered
    std::uint64_t m_known = 0;     // answered from the cache
    std::uint64_t m_fromRows = 0;
    std::uint64_t m_fromFiles = 0;
    std::uint64_t m_failed = 0;
    std::shared_ptr<bool> m_alive; // answers that come home after our end look here first
    DerivationFiles m_files;
    transfer::WorkerPool m_workers; // last: its threads use all of the above
};

} // namespace penstock::app
