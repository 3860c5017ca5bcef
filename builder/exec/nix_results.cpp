// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/nix_results.h"

#include "shared/protocol/limits.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::builder {
namespace {

constexpr std::size_t kMaxClosurePaths = 500'000;

static_assert(nix::kMaxProducts <= protocol::kMaxProducts && nix::kMaxMetrics <= protocol::kMaxMetrics);
static_assert(nix::kMaxProductPath <= protocol::kMaxPathBytes && nix::kMaxSupportWord <= protocol::kMaxNameBytes);

protocol::ProductKind kindOf(nix::ProductKind kind)
{
    switch (kind) {
    case nix::ProductKind::File: return protocol::ProductKind::File;
    case nix::ProductKind::Directory: return protocol::ProductKind::Directory;
    case nix::ProductKind::Symlink: return protocol::ProductKind::Symlink;
    }
    return protocol::ProductKind::Unspecified;
}

// Feeds a parser as long as it understands, and takes the rest of the bytes without looking.
class Feed {
public:
    explicit Feed(nix::NarVisitor& visitor) : m_parser(visitor) {}
    void push(std::string_view bytes)
    {
        if (m_error.empty())
            if (const auto parsed = m_parser.push(bytes); !parsed)
                m_error = parsed.error().message;
    }
    [[nodiscard]] bool isWhole() const { return m_error.empty() && m_parser.isDone(); }
    [[nodiscard]] std::string why() const { return m_error.empty() ? std::string("the NAR is not whole") : m_error; }

private:
    nix::NarParser m_parser;
    std::string m_error;
};

// They quote what the build wrote.
std::string printable(std::string text)
{
    const auto isControl = [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20U || byte == 0x7FU;
    };
    std::ranges::replace_if(text, isControl, '?');
    return text;
}

protocol::BuildProduct productOf(nix::BuildProduct&& from, std::string output)
{
    return {std::move(from.type),
            std::move(from.subtype),
            std::move(output),
            std::move(from.relativePath),
            std::move(from.defaultPath),
            std::move(from.name),
            from.kind ? kindOf(*from.kind) : protocol::ProductKind::Unspecified,
            from.size.value_or(0),
            from.sha256 ? from.sha256->base16() : std::string()};
}

} // namespace

bool isOfMachine(const Error& error)
{
    return error.code == ErrorCode::Cancelled || error.code == ErrorCode::Unavailable;
}

struct ResultCollector::Reading {
    explicit Reading(std::size_t maxFile) : visitor(maxFile), feed(visitor) {}
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    nix::SupportFilesVisitor visitor;
    Feed feed;
};

ResultCollector::ResultCollector(nix::StoreDir dir, std::map<std::string, nix::StorePath> outputs)
    : m_dir(std::move(dir)), m_outputs(std::move(outputs))
{
    for (const auto& [name, path] : m_outputs)
        m_readings.emplace(path, nullptr);
}

std::size_t ResultCollector::maxFile() const
{
    return std::min(nix::kMaxSupportFile, kMaxSupportBytes / (3 * std::max<std::size_t>(m_readings.size(), 1)));
}

ByteSink ResultCollector::tap(const nix::StorePath& path)
{
    const auto found = m_readings.find(path);
    if (found == m_readings.end())
        return {};
    found->second = std::make_shared<Reading>(maxFile());
    return [reading = found->second](std::string_view bytes) -> Result<void> {
        reading->feed.push(bytes);
        return {};
    };
}

// What cannot be read says nothing of itself.
Result<nix::SupportFiles> ResultCollector::take(const nix::StorePath& path, const ReadNar& read)
{
    std::shared_ptr<Reading>& reading = m_readings.at(path);
    Result<void> done;
    if (reading == nullptr || !reading->feed.isWhole())
        done = read(path, tap(path));
    if (!done && isOfMachine(done.error()))
        return fail(done.error());
    nix::SupportFiles files;
    if (done && reading->feed.isWhole())
        files = std::move(reading->visitor).take();
    else
        files.notes.add(fmt::format("{} cannot be read, so its nix-support does not count: {}", path.baseName(),
                                    done ? reading->feed.why() : done.error().message));
    reading.reset();
    return files;
}

Result<void> ResultCollector::lookForProducts(nix::NixSupport& support, const ReadNar& read) const
{
    for (const auto& [path, unused] : m_readings) {
        nix::ProductVisitor visitor(path, support);
        if (!visitor.isNeeded())
            continue;
        Feed feed(visitor);
        const auto done = read(path, [&](std::string_view bytes) -> Result<void> {
            feed.push(bytes);
            return {};
        });
        if (!done && isOfMachine(done.error()))
            return done;
        if (!done || !feed.isWhole())
            support.notes.add(fmt::format("{} cannot be read again for its products: {}", path.baseName(),
                                          done ? feed.why() : done.error().message));
    }
    nix::dropUnseen(support);
    return {};
}

CollectedResults ResultCollector::convert(nix::NixSupport&& support) const
{
    std::map<nix::StorePath, std::string> names;
    for (const auto& [name, path] : m_outputs)
        names.emplace(path, name);
    CollectedResults collected;
    protocol::NixResults& results = collected.results;
    results.failed = support.failed;
    results.releaseName = support.releaseName.value_or("");
    std::size_t room = protocol::kMaxResultsBytes - results.releaseName.size();
    std::size_t left = 0;
    const auto fits = [&](std::size_t bytes) {
        left += bytes > room ? 1 : 0;
        room -= bytes > room ? 0 : bytes;
        return left == 0; // none after the first that does not fit, so that the order says what is missing
    };
    for (nix::BuildProduct& product : support.products) {
        auto name = names.at(product.output);
        protocol::BuildProduct converted = productOf(std::move(product), std::move(name));
        if (fits(converted.byteCount()))
            results.products.push_back(std::move(converted));
    }
    for (const auto& [name, metric] : support.metrics) {
        protocol::BuildMetric converted{name, metric.value, metric.unit};
        if (fits(converted.byteCount()))
            results.metrics.push_back(std::move(converted));
    }
    for (const std::string& note : support.notes.texts())
        collected.notes.push_back("nix-support: " + printable(note));
    if (support.notes.count() > collected.notes.size())
        collected.notes.push_back(
            fmt::format("nix-support: and {} more", support.notes.count() - collected.notes.size()));
    if (results.products.size() < support.products.size() || results.metrics.size() < support.metrics.size())
        collected.notes.push_back(
            fmt::format("nix-support: {} products and {} metrics are left out: the limit of all together is {} bytes; "
                        "name fewer",
                        support.products.size() - results.products.size(),
                        support.metrics.size() - results.metrics.size(), protocol::kMaxResultsBytes));
    return collected;
}

Result<CollectedResults> ResultCollector::finish(const ReadNar& read)
{
    std::vector<nix::OutputSupport> outputs;
    for (const auto& [name, path] : m_outputs) {
        const bool isRepeated = std::ranges::any_of(outputs, [&](const auto& other) { return other.path == path; });
        if (isRepeated) // two content-addressed outputs of equal content
            continue;
        PENSTOCK_TRY(auto files, take(path, read));
        outputs.push_back({name, path, std::move(files)});
    }
    nix::NixSupport support = nix::mergeSupport(m_dir, outputs);
    outputs.clear(); // the texts
    PENSTOCK_TRY_VOID(lookForProducts(support, read));
    return convert(std::move(support));
}

Result<std::uint64_t> closureSize(nixdaemon::DaemonConnection& daemon, const nix::StorePathSet& paths)
{
    std::uint64_t bytes = 0;
    nix::StorePathSet known = paths;
    nix::StorePathSet wave = paths;
    while (!wave.empty()) {
        PENSTOCK_TRY(const auto infos, daemon.queryPathInfos(wave));
        if (infos.size() != wave.size())
            return fail(ErrorCode::NotFound,
                        fmt::format("{} paths of the closure are not valid in this machine's store",
                                    wave.size() - infos.size()));
        wave.clear();
        for (const auto& [path, info] : infos) {
            bytes += info.narSize;
            for (const nix::StorePath& reference : info.references)
                if (known.insert(reference).second)
                    wave.insert(reference);
        }
        if (known.size() > kMaxClosurePaths)
            return fail(ErrorCode::Exhausted, fmt::format("the closure has more than {} paths", kMaxClosurePaths));
    }
    return bytes;
}

} // namespace penstock::builder
