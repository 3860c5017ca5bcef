// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/nix_support.h"

#include "shared/base/text.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

bool isLetterOrDigit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool isSpace(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}
bool isControl(char c)
{
    return static_cast<unsigned char>(c) < 0x20 || c == '\x7f';
}
// Letters, digits and others; never empty.
bool isMadeOf(std::string_view text, std::string_view others)
{
    return !text.empty() && std::all_of(text.begin(), text.end(), [others](char c) {
        return isLetterOrDigit(c) || others.find(c) != std::string_view::npos;
    });
}
bool isWord(std::string_view text, std::string_view others)
{
    return text.size() <= kMaxSupportWord && isMadeOf(text, others);
}

// A piece of the builder's text for a note.
std::string shown(std::string_view text)
{
    constexpr std::size_t kShown = 80;
    return text.size() <= kShown ? toValidUtf8(text) : toValidUtf8(text.substr(0, kShown)) + "…";
}

tl::unexpected<Error> bad(std::string message)
{
    return fail(ErrorCode::Invalid, std::move(message));
}

// Up to the next white space, which is taken too.
std::string_view takeField(std::string_view& line)
{
    const auto* const end = std::find_if(line.begin(), line.end(), isSpace);
    const std::string_view field = line.substr(0, static_cast<std::size_t>(end - line.begin()));
    line.remove_prefix(field.size());
    while (!line.empty() && isSpace(line.front()))
        line.remove_prefix(1);
    return field;
}

// The path of a product, quoted or not, and the white space after it.
Result<std::string_view> takePath(std::string_view& line)
{
    if (!line.starts_with('"')) {
        const std::string_view path = takeField(line);
        if (path.empty() || path.find_first_of("\"<>") != std::string_view::npos)
            return bad(fmt::format("'{}' is no path; quote one with blanks", shown(path)));
        return path;
    }
    const std::size_t end = line.find('"', 1);
    if (end == std::string_view::npos || end == 1)
        return bad("the quoted path is empty or has no end");
    const std::string_view path = line.substr(1, end - 1);
    line.remove_prefix(end + 1);
    if (!line.empty() && !isSpace(line.front()))
        return bad("text follows the quoted path without a blank");
    takeField(line); // nothing but the white space
    return path;
}

// Without empty parts and "."; nullopt when there is a "..".
std::optional<std::string> plainPath(std::string_view path)
{
    std::string plain;
    for (const std::string_view part : split(path, '/')) {
        if (part == "..")
            return std::nullopt;
        if (part.empty() || part == ".")
            continue;
        if (!plain.empty())
            plain.push_back('/');
        plain.append(part);
    }
    return plain;
}

Result<void> checkText(std::string_view path)
{
    if (path.size() > kMaxProductPath)
        return bad(fmt::format("a path of {} bytes; the limit is {}", path.size(), kMaxProductPath));
    if (!isUtf8(path) || std::any_of(path.begin(), path.end(), isControl))
        return bad(fmt::format("'{}' is not UTF-8 or has control characters", shown(path)));
    return {};
}

struct Place {
    StorePath output;
    std::string relativePath;
};

Result<Place> placeOf(const StoreDir& dir, std::string_view path)
{
    PENSTOCK_TRY_VOID(checkText(path));
    const auto plain = plainPath(path);
    const std::string_view store = std::string_view(dir.text()).substr(1); // plain has no slash in front
    if (!path.starts_with('/') || !plain || !plain->starts_with(store) || plain->size() <= store.size() ||
        (*plain)[store.size()] != '/')
        return bad(
            fmt::format("'{}' is not an absolute path below {} without '..'", shown(path), dir.text()));
    const std::string_view below = std::string_view(*plain).substr(store.size() + 1);
    const std::size_t slash = std::min(below.find('/'), below.size());
    PENSTOCK_TRY(StorePath output, StorePath::fromBaseName(below.substr(0, slash)));
    return Place{std::move(output), std::string(below.substr(std::min(slash + 1, below.size())))};
}

// A default path that may not be shown is left out, not the product.
std::string defaultPathOf(std::string_view text, SupportNotes& notes)
{
    const auto plain = plainPath(text);
    if (text.empty() || (checkText(text) && text.front() != '/' && plain &&
                         text.find_first_of("\"<>") == std::string_view::npos))
        return plain.value_or("");
    notes.add(fmt::format("'{}' is no default path below the product", shown(text)));
    return {};
}

Result<BuildProduct> parseProduct(const StoreDir& dir, std::string_view line, SupportNotes& notes)
{
    const std::string_view type = takeField(line);
    const std::string_view subtype = takeField(line);
    if (!isWord(type, "_-") || !isWord(subtype, "_-"))
        return bad(fmt::format("'{} {}' are no type and subtype", shown(type), shown(subtype)));
    PENSTOCK_TRY(const std::string_view path, takePath(line));
    const std::string_view defaultPath = takeField(line);
    if (!line.empty())
        return bad(fmt::format("'{}' follows the default path", shown(line)));
    PENSTOCK_TRY(Place place, placeOf(dir, path));
    std::string name = place.relativePath.substr(place.relativePath.rfind('/') + 1);
    if (!isWord(name, ".@:_ +-"))
        name.clear();
    return BuildProduct{std::string(type),
                        std::string(subtype),
                        std::move(place.output),
                        std::move(place.relativePath),
                        defaultPathOf(defaultPath, notes),
                        std::move(name)};
}

Result<std::pair<std::string, BuildMetric>> parseMetric(std::string_view line)
{
    const std::string_view name = takeField(line);
    std::string_view number = takeField(line);
    const std::string_view unit = takeField(line);
    if (!isWord(name, "._-"))
        return bad(fmt::format("'{}' is no name of a metric", shown(name)));
    if (number.starts_with('+') && !number.starts_with("+-"))
        number.remove_prefix(1);
    const auto value = parseDouble(number);
    if (!value || !std::isfinite(*value))
        return bad(fmt::format("'{}' is no finite number", shown(number)));
    return std::pair(std::string(name), BuildMetric{*value, isWord(unit, "._%-") ? std::string(unit) : ""});
}

// Calls parse with each line that is not blank, and notes what is wrong.
template <class Parse> void eachLine(std::string_view text, SupportNotes& notes, const Parse& parse)
{
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = trim(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty())
            continue;
        const Result<void> parsed = parse(line);
        if (!parsed)
            notes.add(fmt::format("line {}: {}", number, parsed.error().message));
    }
}

} // namespace

void SupportNotes::add(std::string note)
{
    constexpr std::size_t kLongest = 400;
    if (++m_count > kMaxSupportNotes)
        return;
    if (note.size() > kLongest)
        note = toValidUtf8(std::string_view(note).substr(0, kLongest)) + "…";
    m_texts.push_back(std::move(note));
}

void SupportNotes::addAll(const SupportNotes& others, std::string_view prefix)
{
    for (const std::string& text : others.m_texts)
        add(fmt::format("{}: {}", prefix, text));
    m_count += others.m_count - others.m_texts.size();
}

std::vector<BuildProduct> parseProducts(const StoreDir& dir, std::string_view text, SupportNotes& notes)
{
    std::vector<BuildProduct> products;
    eachLine(text, notes, [&](std::string_view line) -> Result<void> {
        PENSTOCK_TRY(BuildProduct product, parseProduct(dir, line, notes));
        if (products.size() == kMaxProducts)
            return bad(fmt::format("more than {} products", kMaxProducts));
        products.push_back(std::move(product));
        return {};
    });
    return products;
}

std::map<std::string, BuildMetric> parseMetrics(std::string_view text, SupportNotes& notes)
{
    std::map<std::string, BuildMetric> metrics;
    eachLine(text, notes, [&](std::string_view line) -> Result<void> {
        PENSTOCK_TRY(auto metric, parseMetric(line));
        if (metrics.size() == kMaxMetrics && !metrics.contains(metric.first))
            return bad(fmt::format("more than {} metrics", kMaxMetrics));
        metrics.insert_or_assign(std::move(metric.first), std::move(metric.second));
        return {};
    });
    return metrics;
}

std::optional<std::string> parseReleaseName(std::string_view text, SupportNotes& notes)
{
    const std::string_view name = trim(text);
    if (isWord(name, ".@:_-"))
        return std::string(name);
    notes.add(fmt::format("'{}' is no release name of 1 to {} letters, digits and .@:_-", shown(name),
                          kMaxSupportWord));
    return std::nullopt;
}

namespace {

void mergeProducts(NixSupport& support, std::vector<BuildProduct> products, const StorePathSet& outputs,
                   SupportNotes& notes)
{
    for (BuildProduct& product : products) {
        if (!outputs.contains(product.output))
            notes.add(fmt::format("'{}' is no output of this build", product.output.baseName()));
        else if (support.products.size() == kMaxProducts)
            notes.add(fmt::format("more than {} products of the build", kMaxProducts));
        else
            support.products.push_back(std::move(product));
    }
}

void mergeMetrics(NixSupport& support, const std::map<std::string, BuildMetric>& metrics, SupportNotes& notes)
{
    for (const auto& [name, metric] : metrics) {
        if (support.metrics.size() == kMaxMetrics && !support.metrics.contains(name))
            notes.add(fmt::format("more than {} metrics of the build", kMaxMetrics));
        else
            support.metrics.insert_or_assign(name, metric);
    }
}

void addImplicitProducts(NixSupport& support, const std::vector<OutputSupport>& outputs)
{
    for (const OutputSupport& output : outputs) {
        if (!output.files.isDirectory || support.products.size() == kMaxProducts)
            continue;
        BuildProduct product{"nix-build", output.outputName == "out" ? "" : output.outputName,
                             output.path, "",
                             "",          std::string(output.path.name())};
        product.kind = ProductKind::Directory;
        support.products.push_back(std::move(product));
    }
}

} // namespace

NixSupport mergeSupport(const StoreDir& dir, const std::vector<OutputSupport>& outputs)
{
    NixSupport support;
    StorePathSet paths;
    for (const OutputSupport& output : outputs)
        paths.insert(output.path);
    bool isExplicit = false;
    for (const OutputSupport& output : outputs) {
        const SupportFiles& files = output.files;
        SupportNotes products;
        SupportNotes metrics;
        SupportNotes release;
        isExplicit = isExplicit || files.hasProducts;
        support.failed = support.failed || files.failed;
        if (files.products)
            mergeProducts(support, parseProducts(dir, *files.products, products), paths, products);
        if (files.metrics)
            mergeMetrics(support, parseMetrics(*files.metrics, metrics), metrics);
        if (files.releaseName) {
            if (auto name = parseReleaseName(*files.releaseName, release))
                support.releaseName = std::move(name);
        }
        support.notes.addAll(files.notes, output.outputName);
        support.notes.addAll(products, output.outputName + ": hydra-build-products");
        support.notes.addAll(metrics, output.outputName + ": hydra-metrics");
        support.notes.addAll(release, output.outputName + ": hydra-release-name");
    }
    if (!isExplicit)
        addImplicitProducts(support, outputs);
    return support;
}

} // namespace penstock::nix
