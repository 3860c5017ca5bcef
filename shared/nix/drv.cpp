// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/drv.h"

#include "shared/nix/aterm.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

constexpr std::string_view kDynamicVersion = "xp-dyn-drv";

struct RawOutput {
    std::string path, method, hash;
};

bool isKnownMethod(std::string_view method)
{
    constexpr std::array<std::string_view, 3> kPrefixes{"r:", "git:", "text:"};
    constexpr std::array<std::string_view, 5> kAlgorithms{"md5", "sha1", "sha256", "sha512", "blake3"};
    for (const std::string_view prefix : kPrefixes) {
        if (method.starts_with(prefix)) {
            method.remove_prefix(prefix.size());
            break;
        }
    }
    return std::find(kAlgorithms.begin(), kAlgorithms.end(), method) != kAlgorithms.end();
}

OutputKind kindOf(const DerivationOutput& output)
{
    if (output.method.empty())
        return output.path ? OutputKind::InputAddressed : OutputKind::Deferred;
    if (output.hash.empty())
        return OutputKind::Floating;
    return output.hash == "impure" ? OutputKind::Impure : OutputKind::Fixed;
}

class DerivationReader {
public:
    DerivationReader(const StoreDir& dir, std::string_view text) : m_dir(dir), m_aterm(text) {}

    Result<Derivation> file()
    {
        if (m_aterm.take("DrvWithVersion(")) {
            PENSTOCK_TRY(const std::string version, m_aterm.string());
            if (version != kDynamicVersion)
                return m_aterm.bad(fmt::format("version \"{}\" is unknown; only {} can be read",
                                               version.substr(0, 40), kDynamicVersion));
            PENSTOCK_TRY_VOID(m_aterm.expect(","));
            m_isDynamic = true;
        } else {
            PENSTOCK_TRY_VOID(m_aterm.expect("Derive("));
        }
        Derivation drv;
        PENSTOCK_TRY_VOID(body(drv));
        PENSTOCK_TRY_VOID(m_aterm.expect(")"));
        if (!m_aterm.atEnd())
            return m_aterm.bad("text after the end");
        return drv;
    }

private:
    Result<void> body(Derivation& drv)
    {
        PENSTOCK_TRY_VOID(m_aterm.list([&] { return output(drv.outputs); }));
        PENSTOCK_TRY_VOID(m_aterm.expect(","));
        PENSTOCK_TRY_VOID(m_aterm.list([&] { return inputDerivation(drv.inputDerivations); }));
        PENSTOCK_TRY_VOID(m_aterm.expect(","));
        PENSTOCK_TRY_VOID(m_aterm.list([&]() -> Result<void> {
            PENSTOCK_TRY(StorePath path, storePath());
            return insertOnce(drv.inputSources, std::move(path), "input source");
        }));
        PENSTOCK_TRY_VOID(m_aterm.expect(","));
        PENSTOCK_TRY(drv.platform, m_aterm.string());
        PENSTOCK_TRY_VOID(m_aterm.expect(","));
        PENSTOCK_TRY(drv.builder, m_aterm.string());
        PENSTOCK_TRY_VOID(m_aterm.expect(","));
        PENSTOCK_TRY_VOID(m_aterm.list([&]() -> Result<void> {
            PENSTOCK_TRY(std::string argument, m_aterm.string());
            drv.arguments.push_back(std::move(argument));
            return {};
        }));
        PENSTOCK_TRY_VOID(m_aterm.expect(","));
        return m_aterm.list([&] { return variable(drv.environment); });
    }

    Result<void> output(OutputMap& outputs)
    {
        PENSTOCK_TRY_VOID(m_aterm.expect("("));
        PENSTOCK_TRY(std::string name, m_aterm.string());
        RawOutput raw;
        for (std::string* field : {&raw.path, &raw.method, &raw.hash}) {
            PENSTOCK_TRY_VOID(m_aterm.expect(","));
            PENSTOCK_TRY(*field, m_aterm.string());
        }
        PENSTOCK_TRY_VOID(m_aterm.expect(")"));
        DerivationOutput made{std::nullopt, std::move(raw.method), std::move(raw.hash)};
        if (!raw.path.empty()) {
            PENSTOCK_TRY(made.path, StorePath::parse(m_dir, raw.path));
        }
        if (const auto good = checkOutput(name, made); !good)
            return m_aterm.bad(good.error().message);
        return insertOnce(outputs, std::pair(std::move(name), std::move(made)), "output");
    }

    Result<void> inputDerivation(std::map<StorePath, InputNode>& inputs)
    {
        PENSTOCK_TRY_VOID(m_aterm.expect("("));
        PENSTOCK_TRY(StorePath path, storePath());
        if (!path.isDerivation())
            return m_aterm.bad(fmt::format("input derivation {} does not end in .drv", path.baseName()));
        PENSTOCK_TRY_VOID(m_aterm.expect(","));
        PENSTOCK_TRY(InputNode made, node(0));
        PENSTOCK_TRY_VOID(m_aterm.expect(")"));
        return insertOnce(inputs, std::pair(std::move(path), std::move(made)), "input derivation");
    }

    Result<InputNode> node(unsigned depth)
    {
        if (depth > kMaxDerivationNesting)
            return fail(ErrorCode::Exhausted,
                        fmt::format("derivation: inputs are nested deeper than {}", kMaxDerivationNesting));
        InputNode made;
        const bool isNested = m_isDynamic && m_aterm.take("(");
        PENSTOCK_TRY_VOID(m_aterm.list([&]() -> Result<void> {
            PENSTOCK_TRY(std::string name, m_aterm.string());
            return insertOnce(made.outputs, std::move(name), "output name");
        }));
        if (isNested) {
            PENSTOCK_TRY_VOID(m_aterm.expect(","));
            PENSTOCK_TRY_VOID(m_aterm.list([&] { return childNode(made.dynamic, depth); }));
            PENSTOCK_TRY_VOID(m_aterm.expect(")"));
        }
        if (made.outputs.empty() && made.dynamic.empty())
            return m_aterm.bad("an input derivation of which no output is needed");
        return made;
    }

    Result<void> childNode(std::map<std::string, InputNode>& children, unsigned depth)
    {
        PENSTOCK_TRY_VOID(m_aterm.expect("("));
        PENSTOCK_TRY(std::string name, m_aterm.string());
        PENSTOCK_TRY_VOID(m_aterm.expect(","));
        PENSTOCK_TRY(InputNode made, node(depth + 1));
        PENSTOCK_TRY_VOID(m_aterm.expect(")"));
        return insertOnce(children, std::pair(std::move(name), std::move(made)), "output name");
    }

    Result<void> variable(std::map<std::string, std::string>& environment)
    {
        PENSTOCK_TRY_VOID(m_aterm.expect("("));
        PENSTOCK_TRY(std::string key, m_aterm.string());
        PENSTOCK_TRY_VOID(m_aterm.expect(","));
        PENSTOCK_TRY(std::string value, m_aterm.string());
        PENSTOCK_TRY_VOID(m_aterm.expect(")"));
        return insertOnce(environment, std::pair(std::move(key), std::move(value)), "variable");
    }

    Result<StorePath> storePath()
    {
        PENSTOCK_TRY(const std::string text, m_aterm.string());
        return StorePath::parse(m_dir, text);
    }

    // Appends; order and uniqueness are one check, as the canonical form is sorted.
    template <class Container, class Item>
    Result<void> insertOnce(Container& items, Item item, std::string_view what)
    {
        const std::size_t before = items.size();
        const auto at = items.insert(items.end(), std::move(item));
        if (items.size() == before || std::next(at) != items.end())
            return m_aterm.bad(fmt::format("an {} is twice there or out of order", what));
        return {};
    }

    const StoreDir& m_dir;
    AtermReader m_aterm;
    bool m_isDynamic = false;
};

Result<void> checkOutputsTogether(const OutputMap& outputs)
{
    if (outputs.empty())
        return fail(ErrorCode::Invalid, "derivation: has no output");
    const OutputKind kind = kindOf(outputs.begin()->second);
    for (const auto& [name, output] : outputs)
        if (kindOf(output) != kind)
            return fail(ErrorCode::Invalid,
                        fmt::format("derivation: output {} is of another kind than the first", name));
    if (kind == OutputKind::Fixed && (outputs.size() != 1 || outputs.begin()->first != "out"))
        return fail(ErrorCode::Invalid, "derivation: a fixed output must be the only one and named out");
    return {};
}

template <class Items, class Print> void printList(std::string& out, const Items& items, Print print)
{
    out.push_back('[');
    bool first = true;
    for (const auto& item : items) {
        if (!std::exchange(first, false))
            out.push_back(',');
        print(item);
    }
    out.push_back(']');
}

void printNode(std::string& out, const InputNode& node)
{
    const auto name = [&](const std::string& text) { appendAtermString(out, text); };
    if (node.dynamic.empty()) {
        printList(out, node.outputs, name);
        return;
    }
    out.push_back('(');
    printList(out, node.outputs, name);
    out.push_back(',');
    printList(out, node.dynamic, [&](const auto& child) {
        out.push_back('(');
        appendAtermString(out, child.first);
        out.push_back(',');
        printNode(out, child.second);
        out.push_back(')');
    });
    out.push_back(')');
}

void printStrings(std::string& out, std::initializer_list<std::string_view> texts)
{
    char before = '(';
    for (const std::string_view text : texts) {
        out.push_back(before);
        appendAtermString(out, text);
        before = ',';
    }
    out.push_back(')');
}

void printOutputs(std::string& out, const StoreDir& dir, const Derivation& drv, bool mask)
{
    printList(out, drv.outputs, [&](const auto& item) {
        const DerivationOutput& output = item.second;
        printStrings(out, {item.first, output.path && !mask ? output.path->print(dir) : "", output.method,
                           output.hash});
    });
}

// All that follows the input derivations.
void printRest(std::string& out, const StoreDir& dir, const Derivation& drv, bool mask)
{
    const auto string = [&](const std::string& text) { appendAtermString(out, text); };
    out.push_back(',');
    printList(out, drv.inputSources, [&](const StorePath& path) { appendAtermString(out, path.print(dir)); });
    out.push_back(',');
    string(drv.platform);
    out.push_back(',');
    string(drv.builder);
    out.push_back(',');
    printList(out, drv.arguments, string);
    out.push_back(',');
    printList(out, drv.environment, [&](const auto& item) {
        const bool isMasked = mask && drv.outputs.contains(item.first);
        printStrings(out, {item.first, isMasked ? std::string_view() : std::string_view(item.second)});
    });
    out.push_back(')');
}

std::string rewritten(std::string text, const Rewrites& rewrites)
{
    for (const auto& [from, to] : rewrites)
        for (std::size_t at = from.empty() ? std::string::npos : text.find(from); at != std::string::npos;
             at = text.find(from, at + to.size()))
            text.replace(at, from.size(), to);
    return text;
}

} // namespace

Result<void> checkOutput(std::string_view name, const DerivationOutput& output)
{
    if (auto good = checkStoreName(name); !good)
        return fail(std::move(good.error()).in("output name"));
    if (!output.method.empty() && !isKnownMethod(output.method))
        return fail(ErrorCode::Invalid, fmt::format("output {}: hash method \"{}\" is unknown", name,
                                                    output.method.substr(0, 40)));
    const OutputKind kind = kindOf(output);
    const bool knowsPath = kind == OutputKind::InputAddressed || kind == OutputKind::Fixed;
    if (knowsPath != output.path.has_value() || (output.method.empty() && !output.hash.empty()))
        return fail(ErrorCode::Invalid,
                    fmt::format("output {}: path, method and hash do not go together", name));
    const auto isHashCharacter = [](char c) { return c > ' ' && c <= '~'; };
    if (!std::all_of(output.hash.begin(), output.hash.end(), isHashCharacter))
        return fail(ErrorCode::Invalid, fmt::format("output {}: the hash has odd characters", name));
    return {};
}

OutputKind Derivation::outputKind() const
{
    return outputs.empty() ? OutputKind::Deferred : kindOf(outputs.begin()->second);
}

bool Derivation::hasDynamicInputs() const
{
    return std::any_of(inputDerivations.begin(), inputDerivations.end(),
                       [](const auto& input) { return !input.second.dynamic.empty(); });
}

StorePathSet Derivation::references() const
{
    StorePathSet paths = inputSources;
    for (const auto& [path, node] : inputDerivations)
        paths.insert(path);
    return paths;
}

Result<Derivation> parseDerivation(const StoreDir& dir, std::string_view name, std::string_view text)
{
    if (text.size() > kMaxDerivationBytes)
        return fail(ErrorCode::Exhausted, fmt::format("derivation: has {} bytes; at most {} are read",
                                                      text.size(), kMaxDerivationBytes));
    PENSTOCK_TRY_VOID(checkStoreName(name));
    PENSTOCK_TRY(Derivation drv, DerivationReader(dir, text).file());
    PENSTOCK_TRY_VOID(checkOutputsTogether(drv.outputs));
    drv.name = name;
    // Order is checked above; what is left are needless escapes and the version prefix.
    if (printDerivation(dir, drv) != text)
        return fail(ErrorCode::Invalid, "derivation: is not written in Nix's canonical form");
    return drv;
}

Result<Derivation> parseDerivationAt(const StoreDir& dir, const StorePath& path, std::string_view text)
{
    if (!path.isDerivation())
        return fail(ErrorCode::Invalid, fmt::format("{} does not end in .drv", path.print(dir)));
    const std::string_view name = path.name().substr(0, path.name().size() - 4);
    auto drv = parseDerivation(dir, name, text);
    if (!drv)
        return fail(std::move(drv.error()).in(path.baseName()));
    PENSTOCK_TRY(const StorePath own, computeTextPath(dir, path.name(), hashOf(text), drv->references()));
    if (own != path)
        return fail(ErrorCode::Corrupt,
                    fmt::format("{}: its content belongs at {}", path.baseName(), own.baseName()));
    return drv;
}

std::string printDerivation(const StoreDir& dir, const Derivation& drv)
{
    std::string out = "Derive(";
    if (drv.hasDynamicInputs()) {
        out = "DrvWithVersion(";
        appendAtermString(out, kDynamicVersion);
        out.push_back(',');
    }
    printOutputs(out, dir, drv, false);
    out.push_back(',');
    printList(out, drv.inputDerivations, [&](const auto& item) {
        out.push_back('(');
        appendAtermString(out, item.first.print(dir));
        out.push_back(',');
        printNode(out, item.second);
        out.push_back(')');
    });
    printRest(out, dir, drv, false);
    return out;
}

std::string printForModulo(const StoreDir& dir, const Derivation& drv, const InputKeys& inputs, bool mask)
{
    std::string out = "Derive(";
    printOutputs(out, dir, drv, mask);
    out.push_back(',');
    printList(out, inputs, [&](const auto& item) {
        out.push_back('(');
        appendAtermString(out, item.first);
        out.push_back(',');
        printList(out, item.second, [&](const std::string& text) { appendAtermString(out, text); });
        out.push_back(')');
    });
    printRest(out, dir, drv, mask);
    return out;
}

Result<StorePath> computeDerivationPath(const StoreDir& dir, const Derivation& drv)
{
    return computeTextPath(dir, drv.name + ".drv", hashOf(printDerivation(dir, drv)), drv.references());
}

FileMethod fixedMethod(const DerivationOutput& output)
{
    return output.method.starts_with("r:") ? FileMethod::Recursive : FileMethod::Flat;
}

Result<Hash> fixedHash(const DerivationOutput& output)
{
    if (kindOf(output) != OutputKind::Fixed)
        return fail(ErrorCode::Invalid, "the output is not fixed, so it has no expected hash");
    std::string_view algorithm = output.method;
    if (algorithm.starts_with("r:"))
        algorithm.remove_prefix(2);
    PENSTOCK_TRY(const HashAlgorithm known, parseHashAlgorithm(algorithm));
    return Hash::parse(output.hash, known);
}

BasicDerivation resolve(const Derivation& drv, StorePathSet inputs, const Rewrites& rewrites)
{
    BasicDerivation basic{drv.outputs, std::move(inputs), drv.platform, rewritten(drv.builder, rewrites), {},
                          {}};
    for (const std::string& argument : drv.arguments)
        basic.arguments.push_back(rewritten(argument, rewrites));
    for (const auto& [key, value] : drv.environment)
        basic.environment.emplace(rewritten(key, rewrites), rewritten(value, rewrites));
    return basic;
}

std::string outputPlaceholder(const StorePath& drvPath, std::string_view outputName)
{
    std::string_view name = drvPath.name();
    if (drvPath.isDerivation())
        name.remove_suffix(4);
    return "/" + hashOf(fmt::format("nix-upstream-output:{}:{}", drvPath.digest(),
                                    outputStoreName(name, outputName)))
                     .base32();
}

} // namespace penstock::nix
