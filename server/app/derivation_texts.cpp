// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/derivation_texts.h"

#include "shared/base/passing.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace penstock::app {
namespace {

constexpr transfer::PoolSize kThreads{3, 10'000};
constexpr std::size_t kMaxWaiting = 100'000; // derivations; each costs a few hundred bytes until its text has come
constexpr std::size_t kRowsAtOnce = 64;      // of up to 3 MiB each
constexpr std::size_t kFilesAtOnce = 16;

template <class Use> void inParts(const std::vector<std::size_t>& places, std::size_t most, Use use)
{
    for (std::size_t at = 0; at < places.size(); at += most) {
        const auto first = places.begin() + static_cast<std::ptrdiff_t>(at);
        use(std::vector<std::size_t>(first, first + static_cast<std::ptrdiff_t>(std::min(most, places.size() - at))));
    }
}

} // namespace

DerivationTexts::DerivationTexts(Loop& home, store::Store& store, nix::StoreDir dir, TextOptions options)
    : m_home(home), m_store(store), m_options(std::move(options)), m_cache(m_options.cacheBytes),
      m_alive(std::make_shared<bool>(true)), m_files(std::move(dir), m_options.realDir), m_workers(kThreads)
{
}

DerivationTexts::~DerivationTexts()
{
    *m_alive = false;
}

void DerivationTexts::find(std::vector<Wanted> wanted, Answer answer)
{
    const auto asked = std::make_shared<Question>();
    asked->wanted = std::move(wanted);
    asked->answer = std::move(answer);
    Places unknown;
    for (std::size_t at = 0; at < asked->wanted.size(); ++at) {
        Text known = m_cache.find(asked->wanted[at].drvPath);
        if (known == nullptr)
            unknown.push_back(at);
        asked->answers.emplace_back(std::move(known));
    }
    m_known += asked->wanted.size() - unknown.size();
    if (m_waiting + unknown.size() > kMaxWaiting) {
        const Error error{ErrorCode::Exhausted,
                          fmt::format("{} texts of derivations are waited for already (limit {}); try again", m_waiting,
                                      kMaxWaiting)};
        for (const std::size_t place : unknown)
            asked->answers[place] = fail(error);
        unknown.clear();
    }
    if (unknown.empty())
        return asked->answer(std::move(asked->answers));
    asked->left = unknown.size();
    m_waiting += unknown.size();
    ask(asked, std::move(unknown), m_options.isFilesFirst ? Source::Files : Source::Rows);
}

void DerivationTexts::ask(const Asked& asked, Places places, Source source)
{
    if (source == Source::Rows)
        inParts(places, kRowsAtOnce, [&](Places part) { askRows(asked, std::move(part)); });
    else
        inParts(places, kFilesAtOnce, [&](Places part) { askFiles(asked, std::move(part)); });
}

void DerivationTexts::settle(const Asked& asked, std::size_t place, Result<Text> text)
{
    if (text)
        m_cache.put(asked->wanted[place].drvPath, *text, (*text)->bytes());
    else
        ++m_failed;
    asked->answers[place] = std::move(text);
    --m_waiting;
    if (--asked->left == 0)
        asked->answer(std::move(asked->answers));
}

void DerivationTexts::missing(const Asked& asked, const Places& places, Source source)
{
    if (places.empty())
        return;
    if (!isLast(source))
        return ask(asked, places, source == Source::Rows ? Source::Files : Source::Rows);
    for (const std::size_t place : places) {
        const Result<Text>& file = asked->answers[place];
        settle(asked, place,
               fail(ErrorCode::NotFound,
                    fmt::format("the text of {} was not stored with step {}, and {}", asked->wanted[place].drvPath,
                                asked->wanted[place].step.value(), file ? "has no file" : file.error().message)));
    }
}

// -------------------------------------------------------------------------------------------------------- rows

void DerivationTexts::askRows(const Asked& asked, Places places)
{
    std::vector<StepId> steps;
    steps.reserve(places.size());
    for (const std::size_t place : places)
        steps.push_back(asked->wanted[place].step);
    m_store.loadDerivations(
        std::move(steps), [this, &home = m_home, alive = m_alive, asked,
                           places = std::move(places)](Result<std::vector<store::StoredDerivation>> rows) {
            auto held = std::make_shared<Result<std::vector<store::StoredDerivation>>>(std::move(rows));
            home.post([this, alive, asked, places, held] {
                if (*alive)
                    rowsCame(asked, places, std::move(*held));
            });
        });
}

void DerivationTexts::rowsCame(const Asked& asked, const Places& places,
                               Result<std::vector<store::StoredDerivation>> rows)
{
    if (!rows && !isPassing(rows.error()) && places.size() > 1) { // one bad row is nobody else's trouble
        for (const std::size_t place : places)
            askRows(asked, {place});
        return;
    }
    if (!rows) {
        for (const std::size_t place : places) {
            Error error = rows.error();
            settle(asked, place, fail(std::move(error).in(asked->wanted[place].drvPath)));
        }
        return;
    }
    std::map<StepId, Text> texts;
    for (store::StoredDerivation& row : *rows)
        if (!row.drv.empty())
            texts.emplace(row.step, std::make_shared<const DerivationText>(
                                        DerivationText{std::move(row.drv), std::move(row.inputPaths)}));
    Places others;
    for (const std::size_t place : places) {
        const auto text = texts.find(asked->wanted[place].step);
        if (text == texts.end()) {
            others.push_back(place);
            continue;
        }
        ++m_fromRows;
        settle(asked, place, text->second);
    }
    missing(asked, others, Source::Rows);
}

// ------------------------------------------------------------------------------------------------------- files

void DerivationTexts::askFiles(const Asked& asked, Places places)
{
    std::vector<std::string> paths;
    paths.reserve(places.size());
    for (const std::size_t place : places)
        paths.push_back(asked->wanted[place].drvPath);
    const bool isTaken = m_workers.run([this, alive = m_alive, asked, places, paths = std::move(paths)] {
        auto read = std::make_shared<std::vector<Result<Text>>>();
        for (const std::string& path : paths) {
            auto text = m_files.read(path);
            if (text)
                read->emplace_back(std::make_shared<const DerivationText>(*std::move(text)));
            else
                read->emplace_back(fail(std::move(text).error()));
        }
        m_home.post([this, alive, asked, places, read] {
            if (!*alive)
                return;
            Places others;
            for (std::size_t at = 0; at < places.size(); ++at) {
                Result<Text>& text = (*read)[at];
                if (!text && text.error().code == ErrorCode::NotFound) {
                    asked->answers[places[at]] = std::move(text);
                    others.push_back(places[at]);
                    continue;
                }
                m_fromFiles += text ? 1U : 0U;
                settle(asked, places[at], std::move(text));
            }
            missing(asked, others, Source::Files);
        });
    });
    if (isTaken)
        return;
    for (const std::size_t place : places)
        settle(asked, place, fail(ErrorCode::Exhausted, "too many derivations are being read already; try again"));
}

void DerivationTexts::addMetrics(std::vector<http::MetricFamily>& families) const
{
    const auto count = [&](std::string name, std::string help, std::uint64_t value) {
        families.push_back(http::counter("penstock_derivation_texts_" + name + "_total", std::move(help),
                                         static_cast<double>(value)));
    };
    count("known", "texts of derivations that were still in memory", m_known);
    count("from_rows", "texts of derivations read from the database", m_fromRows);
    count("from_files", "texts of derivations read from the Nix store", m_fromFiles);
    count("failed", "texts of derivations that could not be read", m_failed);
    families.push_back(http::gauge("penstock_derivation_texts_bytes", "bytes of derivations kept in memory",
                                   static_cast<double>(m_cache.bytes())));
    families.push_back(http::gauge("penstock_derivation_texts_waiting", "texts of derivations that are waited for",
                                   static_cast<double>(m_waiting)));
}

} // namespace penstock::app
