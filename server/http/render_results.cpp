// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/render.h"

#include <algorithm>
#include <fmt/format.h>
#include <string>

namespace penstock::http {
namespace {

// Empty when the output of that name is not known.
std::string fullPath(const work::BuildProduct& product, std::span<const work::OutputFact> outputs)
{
    const auto output = std::ranges::find(outputs, product.output, &work::OutputFact::name);
    if (output == outputs.end() || output->path.empty())
        return {};
    return product.path.empty() ? output->path : fmt::format("{}/{}", output->path, product.path);
}

void writeProduct(JsonWriter& out, const work::BuildProduct& product, std::span<const work::OutputFact> outputs)
{
    const bool isFile = product.kind == work::ProductKind::File;
    out.beginObject();
    out.field("type", std::string_view(product.type));
    out.field("subtype", std::string_view(product.subtype));
    out.field("name", std::string_view(product.name));
    out.fieldText("path", fullPath(product, outputs));
    out.field("output", std::string_view(product.output));
    out.fieldText("default_path", product.defaultPath);
    out.field("kind", toString(product.kind));
    if (isFile)
        out.field("size_bytes", product.size);
    else
        out.fieldNull("size_bytes");
    out.fieldText("sha256", product.sha256);
    out.endObject();
}

} // namespace

void fieldsResults(JsonWriter& out, const work::AttemptProgress& progress)
{
    const work::BuildResults& results = progress.results.get();
    out.key("products");
    out.beginArray();
    for (const work::BuildProduct& product : results.products)
        writeProduct(out, product, progress.outputs);
    out.endArray();
    out.key("metrics");
    out.beginArray();
    for (const work::BuildMetric& metric : results.metrics) {
        out.beginObject();
        out.field("name", std::string_view(metric.name));
        out.field("value", metric.value);
        out.fieldText("unit", metric.unit);
        out.endObject();
    }
    out.endArray();
    out.fieldText("release_name", results.releaseName);
    out.field("failed", results.failed);
    std::uint64_t size = 0;
    for (const work::OutputFact& output : progress.outputs)
        size += output.narSize;
    if (progress.outputs.empty())
        out.fieldNull("size_bytes");
    else
        out.field("size_bytes", size);
    if (results.closureSize == 0)
        out.fieldNull("closure_size_bytes");
    else
        out.field("closure_size_bytes", results.closureSize);
}

} // namespace penstock::http
