// SPDX-License-Identifier: GPL-3.0-or-later
// What builds say of themselves: products, metrics, release names, sizes.
#include "client/output/fields.h"
#include "client/output/human_text.h"
#include "client/output/json_fields.h"
#include "client/output/records.h"
#include "client/output/table.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::client {
namespace {

// What every build has that names no product says nothing that the list of outputs would not.
bool isPlain(const QJsonObject& record)
{
    const auto products = arrayField(record, "products");
    const bool namesNone = std::all_of(products.begin(), products.end(), [](const auto& product) {
        return textField(product.toObject(), "type") == "nix-build";
    });
    return namesNone && arrayField(record, "metrics").isEmpty() && !hasField(record, "release_name") &&
           !record.value(QLatin1String("failed")).toBool();
}

std::string sizesOf(const QJsonObject& record)
{
    std::string text;
    if (hasField(record, "size_bytes"))
        text = humanBytes(bytesField(record, "size_bytes"));
    if (hasField(record, "closure_size_bytes"))
        text += fmt::format("{}{} with all it needs", text.empty() ? "" : ", ",
                            humanBytes(bytesField(record, "closure_size_bytes")));
    return text;
}

std::string metricsOf(const QJsonObject& record)
{
    std::string text;
    const auto metrics = arrayField(record, "metrics");
    for (const auto& each : metrics) {
        const auto metric = each.toObject();
        const auto unit = textField(metric, "unit");
        text += fmt::format("{}{} {:g}{}{}", text.empty() ? "" : ", ", textField(metric, "name"),
                            fractionField(metric, "value"), unit.empty() ? "" : " ", unit);
    }
    return text;
}

std::string productsOf(const QJsonObject& record, const View& view)
{
    Table table({{"TYPE"}, {"SUBTYPE"}, {"SIZE", Align::Right}, {"PATH", Align::Left}, {"SHOW"}});
    const auto products = arrayField(record, "products");
    for (const auto& each : products) {
        const auto product = each.toObject();
        const auto kind = textField(product, "kind");
        table.add({{textField(product, "type")},
                   {textField(product, "subtype")},
                   {hasField(product, "size_bytes") ? humanBytes(bytesField(product, "size_bytes")) : kind},
                   {textField(product, "path")},
                   {textField(product, "default_path")}});
    }
    return table.empty() ? std::string() : table.render(view.style, view.width);
}

std::string renderResult(const QJsonObject& record, const View& view)
{
    Fields fields;
    if (hasField(record, "run"))
        fields.emplace_back("Built",
                            Cell{fmt::format("{} (run {})", textField(record, "name"), textField(record, "run"))});
    else
        addText(fields, record, "id", "Run");
    if (record.value(QLatin1String("failed")).toBool())
        fields.emplace_back("Result", outputFailedCell(view.style));
    addText(fields, record, "release_name", "Release");
    if (const auto sizes = sizesOf(record); !sizes.empty())
        fields.emplace_back("Size", Cell{sizes});
    if (const auto metrics = metricsOf(record); !metrics.empty())
        fields.emplace_back("Metrics", Cell{metrics});
    return renderFields(fields, view.style) + productsOf(record, view);
}

} // namespace

Cell outputFailedCell(const Style& style)
{
    Cell cell = stateCell("failed", style);
    cell.text += " with output";
    return cell;
}

std::string renderResults(const QJsonArray& records, const View& view, bool withPlain)
{
    std::string text;
    for (const auto& each : records) {
        const auto record = each.toObject();
        if (!withPlain && isPlain(record))
            continue;
        text += (text.empty() ? "" : "\n") + renderResult(record, view);
    }
    return text;
}

} // namespace penstock::client
