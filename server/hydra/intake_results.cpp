// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/intake_results.h"

#include "server/cache/parallel.h"
#include "shared/nix/json.h"
#include "shared/nix/listing.h"
#include "shared/nix/nar.h"
#include "shared/nix/nix_support.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace penstock::hydra {
namespace {

constexpr std::size_t kMaxClosurePaths = 500'000;
constexpr std::size_t kAtATime = 8; // questions to the store

Result<nix::NarInfo> infoOf(cache::OutputStore& store, const nix::StorePath& path)
{
    PENSTOCK_TRY(auto info, store.find(path));
    if (!info)
        return fail(ErrorCode::NotFound,
                    fmt::format("{} is not in {}", path.print(store.storeDir()), store.describe()));
    return *std::move(info);
}

// Of the union of the closures: what two outputs share counts once.
Result<std::uint64_t> closureSize(cache::OutputStore& store, const nix::StorePathSet& paths, const CancelToken& stop)
{
    std::uint64_t size = 0;
    nix::StorePathSet known = paths;
    std::vector<nix::StorePath> wave(paths.begin(), paths.end());
    while (!wave.empty()) {
        std::vector<std::optional<nix::NarInfo>> infos(wave.size());
        PENSTOCK_TRY_VOID(cache::parallelFor(wave.size(), kAtATime, [&](std::size_t item) -> Result<void> {
            if (stop.isCancelled())
                return fail(ErrorCode::Cancelled, "stopped while a closure was measured");
            PENSTOCK_TRY(infos[item], infoOf(store, wave[item]));
            return {};
        }));
        wave.clear();
        for (const auto& info : infos) {
            size += info->narSize;
            for (const nix::StorePath& reference : info->references)
                if (known.insert(reference).second)
                    wave.push_back(reference);
        }
        if (known.size() > kMaxClosurePaths)
            return fail(ErrorCode::Exhausted, fmt::format("a closure has more than {} paths", kMaxClosurePaths));
    }
    return size;
}

Result<void> readInto(cache::OutputStore& store, const nix::NarInfo& info, nix::NarVisitor& visitor,
                      const CancelToken& stop)
{
    nix::NarParser parser(visitor);
    PENSTOCK_TRY_VOID(store.readNar(info, [&](std::string_view bytes) -> Result<void> {
        if (stop.isCancelled())
            return fail(ErrorCode::Cancelled, "stopped while an output was read");
        const auto parsed = parser.push(bytes);
        return parsed ? Result<void>() : fail(parsed.error());
    }));
    return parser.finish();
}

// What a listing tells without the NAR: that there is nothing in nix-support.
std::optional<nix::SupportFiles> fromListing(const std::string& text)
{
    const auto listing = nix::parseJson(text);
    const nix::JsonValue* root = listing ? listing->member("root") : nullptr;
    const nix::JsonValue* type = root == nullptr ? nullptr : root->member("type");
    const std::string* kind = type == nullptr ? nullptr : type->asString();
    if (kind == nullptr)
        return std::nullopt;
    nix::SupportFiles files;
    files.isDirectory = *kind == "directory";
    const nix::JsonValue* entries = root->member("entries");
    if (files.isDirectory && (entries == nullptr || entries->member("nix-support") != nullptr))
        return std::nullopt;
    return files;
}

Result<nix::SupportFiles> supportOf(cache::OutputStore& store, const nix::NarInfo& info, std::size_t maxFile,
                                    const CancelToken& stop)
{
    const auto listing = store.readSideFile(std::string(info.path.digest()) + ".ls", nix::kMaxListingBytes);
    if (!listing && listing.error().code != ErrorCode::Exhausted) // too large: the NAR tells as well
        return fail(listing.error());
    if (listing && *listing)
        if (auto files = fromListing(**listing))
            return *std::move(files);
    nix::SupportFilesVisitor visitor(maxFile);
    PENSTOCK_TRY_VOID(readInto(store, info, visitor, stop));
    return std::move(visitor).take();
}

void convert(const nix::StoreDir& dir, nix::NixSupport&& support, ComputedResult& into)
{
    into.hasFailed = support.failed;
    into.releaseName = support.releaseName.value_or("");
    for (nix::BuildProduct& product : support.products) {
        ResultProduct row;
        row.path = product.output.print(dir);
        if (!product.relativePath.empty())
            row.path += "/" + product.relativePath;
        row.type = std::move(product.type);
        row.subtype = std::move(product.subtype);
        row.name = std::move(product.name);
        row.defaultPath = std::move(product.defaultPath);
        if (product.kind == nix::ProductKind::File) {
            row.size = product.size;
            row.sha256 = product.sha256 ? product.sha256->base16() : std::string();
        }
        into.products.push_back(std::move(row));
    }
    for (const auto& [name, metric] : support.metrics)
        into.metrics.push_back({name, metric.value, metric.unit});
}

} // namespace

Result<ComputedResult> computeResult(cache::OutputStore& store, std::span<const work::NixOutput> outputs,
                                     const CancelToken& stop)
{
    ComputedResult result;
    std::map<nix::StorePath, nix::NarInfo> infos;
    std::vector<nix::OutputSupport> supports;
    nix::StorePathSet paths;
    // All are in memory at once, and who wrote the derivation says how many there are.
    const std::size_t maxFile = nix::kMaxSupportFile / std::max<std::size_t>(outputs.size(), 1);
    for (const work::NixOutput& output : outputs) {
        PENSTOCK_TRY(auto path, nix::StorePath::parse(store.storeDir(), output.path));
        if (!paths.insert(path).second) // two content-addressed outputs of equal content
            continue;
        PENSTOCK_TRY(auto info, infoOf(store, path));
        result.size += info.narSize;
        PENSTOCK_TRY(auto files, supportOf(store, info, maxFile, stop));
        supports.push_back({output.name, path, std::move(files)});
        infos.emplace(std::move(path), std::move(info));
    }
    PENSTOCK_TRY(result.closureSize, closureSize(store, paths, stop));
    nix::NixSupport support = nix::mergeSupport(store.storeDir(), supports);
    for (const auto& [path, info] : infos) {
        nix::ProductVisitor visitor(path, support);
        if (visitor.isNeeded())
            PENSTOCK_TRY_VOID(readInto(store, info, visitor, stop));
    }
    nix::dropUnseen(support);
    convert(store.storeDir(), std::move(support), result);
    return result;
}

} // namespace penstock::hydra
