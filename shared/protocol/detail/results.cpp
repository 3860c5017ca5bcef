// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/protocol/detail/results.h"

#include "shared/base/text.h"
#include "shared/protocol/limits.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace penstock::protocol::detail {
namespace {

link::ProductKind wire(ProductKind kind)
{
    switch (kind) {
    case ProductKind::Unspecified: break;
    case ProductKind::File: return link::PRODUCT_FILE;
    case ProductKind::Directory: return link::PRODUCT_DIRECTORY;
    case ProductKind::Symlink: return link::PRODUCT_SYMLINK;
    }
    return link::PRODUCT_UNSPECIFIED;
}

// A kind from a newer builder is still a product.
ProductKind kindOf(link::ProductKind from)
{
    switch (from) {
    case link::PRODUCT_FILE: return ProductKind::File;
    case link::PRODUCT_DIRECTORY: return ProductKind::Directory;
    case link::PRODUCT_SYMLINK: return ProductKind::Symlink;
    default: return ProductKind::Unspecified;
    }
}

// Somebody may put it behind the output's path, and may not come out of the output by it.
void readBelow(FieldReader& fields, std::string_view field, const std::string& from, std::string& to)
{
    std::string path;
    fields.path(field, from, path);
    const auto parts = split(path, '/');
    const auto isOdd = [](std::string_view part) { return part.empty() || part == "." || part == ".."; };
    if (!path.empty() && std::ranges::any_of(parts, isOdd))
        return fields.refuse(field, "must be a path below the output, without '.' and '..'");
    to = std::move(path);
}

void readProduct(FieldReader& fields, const link::BuildProduct& from, BuildProduct& to)
{
    fields.requiredName("nix_results.products.type", from.type(), to.type);
    fields.name("nix_results.products.subtype", from.subtype(), to.subtype);
    fields.requiredName("nix_results.products.output", from.output(), to.output);
    readBelow(fields, "nix_results.products.path", from.path(), to.path);
    readBelow(fields, "nix_results.products.default_path", from.default_path(), to.defaultPath);
    fields.name("nix_results.products.name", from.name(), to.name);
    to.kind = kindOf(from.kind());
    fields.atMost("nix_results.products.size", from.size(), INT64_MAX);
    to.size = from.size();
    const auto isHex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    const std::string& hash = from.sha256();
    if (!hash.empty() && (hash.size() != kSha256Digits || !std::ranges::all_of(hash, isHex)))
        return fields.refuse("nix_results.products.sha256",
                             fmt::format("must be {} lower-case hex digits, it has {} bytes", kSha256Digits,
                                         hash.size()));
    to.sha256 = hash;
}

void readMetric(FieldReader& fields, const link::BuildMetric& from, BuildMetric& to)
{
    fields.requiredName("nix_results.metrics.name", from.name(), to.name);
    if (!std::isfinite(from.value()))
        fields.refuse("nix_results.metrics.value", fmt::format("is {}, must be a finite number", from.value()));
    to.value = from.value();
    fields.name("nix_results.metrics.unit", from.unit(), to.unit);
}

} // namespace

void encodeResults(const NixResults& from, link::NixResults& to)
{
    for (const BuildProduct& product : from.products) {
        link::BuildProduct& entry = *to.add_products();
        entry.set_type(product.type);
        entry.set_subtype(product.subtype);
        entry.set_output(product.output);
        entry.set_path(toValidUtf8(product.path));
        entry.set_default_path(toValidUtf8(product.defaultPath));
        entry.set_name(toValidUtf8(product.name));
        entry.set_kind(wire(product.kind));
        entry.set_size(product.size);
        entry.set_sha256(product.sha256);
    }
    for (const BuildMetric& metric : from.metrics) {
        link::BuildMetric& entry = *to.add_metrics();
        entry.set_name(metric.name);
        entry.set_value(metric.value);
        entry.set_unit(metric.unit);
    }
    to.set_release_name(from.releaseName);
    to.set_failed(from.failed);
    to.set_closure_bytes(from.closureSize);
}

void readResults(FieldReader& fields, const link::NixResults& from, NixResults& to)
{
    const auto products = static_cast<std::size_t>(from.products_size());
    const auto metrics = static_cast<std::size_t>(from.metrics_size());
    if (!fields.atMost("nix_results.products", products, kMaxProducts) ||
        !fields.atMost("nix_results.metrics", metrics, kMaxMetrics))
        return;
    to.products.reserve(products);
    for (const link::BuildProduct& entry : from.products())
        readProduct(fields, entry, to.products.emplace_back());
    to.metrics.reserve(metrics);
    for (const link::BuildMetric& entry : from.metrics())
        readMetric(fields, entry, to.metrics.emplace_back());
    fields.name("nix_results.release_name", from.release_name(), to.releaseName);
    to.failed = from.failed();
    fields.atMost("nix_results.closure_bytes", from.closure_bytes(), INT64_MAX);
    to.closureSize = from.closure_bytes();
    fields.atMost("nix_results (all text of it)", to.byteCount(), kMaxResultsBytes);
}

} // namespace penstock::protocol::detail
