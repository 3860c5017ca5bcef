// SPDX-License-Identifier: GPL-3.0-or-later
#include "bench/hydra_graph.h"

#include "shared/nix/drv.h"
#include "shared/nix/modulo.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <map>
#include <string_view>
#include <unistd.h>

namespace penstock::bench {
namespace {

constexpr std::size_t kTops = 3;
constexpr std::size_t kTopInputs = 3'000;
constexpr std::size_t kInputs = 9; // of a package, on average, its source and the standard environment among them

template <class T> T good(Result<T> result)
{
    if (result)
        return *std::move(result);
    fmt::print(stderr, "{}\n", result.error().message);
    std::exit(1);
}

std::string madeUpName(Draw& draw, std::size_t at)
{
    static constexpr std::array<std::string_view, 24> kParts{
        "lib", "py", "thon", "qt", "gno", "me", "ker", "nel", "has", "kell", "per", "l5", "xor", "g", "gst",
        "plug", "in", "core", "util", "data", "base", "net", "work", "tool"};
    std::string name;
    for (std::size_t part = 0; part < 3 + draw.below(3); ++part) {
        name += kParts[draw.below(kParts.size())];
        if (draw.below(3) == 0)
            name += '-';
    }
    return fmt::format("{}{}-{}.{}.{}", name, at, draw.below(9), draw.below(30), draw.below(12));
}

void writeFile(const std::string& file, std::string_view text)
{
    const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
    if (descriptor < 0 || ::write(descriptor, text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        ::close(descriptor) != 0) {
        std::perror(file.c_str());
        std::exit(1);
    }
}

class Maker {
public:
    Maker(const nix::StoreDir& dir, const Collection& wanted)
        : m_dir(dir), m_wanted(wanted), m_draw(wanted.seed), m_hashes(dir),
          m_script(good(nix::computeTextPath(dir, "default-builder.sh", nix::hashOf("source $stdenv/setup\n"), {})))
    {}

    MadeCollection run()
    {
        m_made.derivations.reserve(m_wanted.derivations);
        const std::size_t tops = std::min(kTops, m_wanted.derivations / 100);
        while (m_made.derivations.size() + tops < m_wanted.derivations) {
            if (m_made.derivations.size() < m_wanted.base)
                addBase();
            else if (m_wanted.base > 0 && m_draw.below(4) == 0)
                addSource();
            else
                addPackage();
        }
        for (std::size_t top = 0; top < tops; ++top)
            addTop(top);
        return std::move(m_made);
    }

private:
    [[nodiscard]] std::size_t count() const { return m_made.derivations.size(); }

    void addBase()
    {
        std::vector<std::size_t> inputs;
        const std::size_t near = std::min<std::size_t>(count(), 6);
        if (near > 0)
            inputs.push_back(count() - 1 - m_draw.below(near));
        const std::size_t around = std::min<std::size_t>(count(), 40);
        for (std::size_t input = 0; input < 5 && around > 0; ++input)
            inputs.push_back(count() - 1 - m_draw.below(around));
        add(Part::Base, madeUpName(m_draw, count()), inputs);
    }

    void addSource()
    {
        const std::size_t last = m_wanted.base - 1;
        add(Part::Source, fmt::format("{}.tar.gz", madeUpName(m_draw, count())),
            {last, last / 2, last - std::min<std::size_t>(last, 3)});
        m_sources.push_back(count() - 1);
    }

    void addPackage()
    {
        std::vector<std::size_t> inputs;
        if (m_wanted.base > 0)
            inputs.push_back(m_wanted.base - 1); // the standard environment
        if (!m_sources.empty())
            inputs.push_back(m_sources.back());
        const std::size_t more = m_draw.below(2 * (kInputs - 2) + 1);
        for (std::size_t input = 0; input < more && !m_packages.empty(); ++input) {
            const auto size = static_cast<double>(m_packages.size());
            const std::size_t early = static_cast<std::size_t>(size * std::pow(m_draw.unit(), 3.0)); // few are popular
            const std::size_t late = m_packages.size() - 1 - m_draw.below(std::min<std::size_t>(m_packages.size(), 50));
            inputs.push_back(m_packages[m_draw.below(8) == 0 ? late : early]);
        }
        add(Part::Package, madeUpName(m_draw, count()), inputs);
        m_packages.push_back(count() - 1);
    }

    void addTop(std::size_t top)
    {
        std::vector<std::size_t> inputs;
        const std::size_t wanted = std::min(kTopInputs, m_packages.size() / 2);
        for (std::size_t input = 0; input < wanted; ++input)
            inputs.push_back(m_packages[m_draw.below(m_packages.size())]);
        add(Part::Top, fmt::format("tested-{}-{}", top, m_wanted.seed), inputs);
    }

    void add(Part part, const std::string& name, const std::vector<std::size_t>& inputs)
    {
        nix::Derivation drv;
        drv.name = name;
        drv.platform = m_wanted.system;
        drv.inputSources.insert(m_script);
        drv.arguments = {"-e", m_script.print(m_dir)};
        drv.builder = "/bin/sh";
        std::string paths;
        for (const std::size_t input : inputs) {
            const MadeDerivation& needed = m_made.derivations[input];
            auto& wanted = drv.inputDerivations[needed.path].outputs;
            const auto& output = needed.outputs[m_draw.below(needed.outputs.size())];
            if (!wanted.empty())
                continue;
            wanted.insert(output.first);
            paths += (paths.empty() ? "" : " ") + output.second.print(m_dir);
        }
        m_made.edges += drv.inputDerivations.size();
        drv.environment = {{"name", name}, {"system", drv.platform}, {"builder", drv.builder},
                           {"buildInputs", std::move(paths)}, {"strictDeps", "1"}, {"doCheck", "1"},
                           {"preFixup", std::string(m_draw.below(700), 'x')}};
        if (part == Part::Package && m_draw.below(50) == 0)
            drv.environment["requiredSystemFeatures"] = "big-parallel";
        if (part == Part::Source)
            fixOutput(drv);
        else
            computeOutputs(drv, part == Part::Top ? 1 : 1 + m_draw.below(3) * m_draw.below(2));
        keep(part, drv);
    }

    void fixOutput(nix::Derivation& drv)
    {
        const nix::Hash hash = nix::hashOf(fmt::format("{} {}", m_wanted.seed, drv.name));
        nix::DerivationOutput& output = drv.outputs["out"];
        output = {good(nix::computeFixedPath(m_dir, drv.name, nix::FileMethod::Flat, hash)), "sha256", hash.base16()};
        drv.environment["outputHash"] = output.hash;
        drv.environment["outputHashAlgo"] = "sha256";
        drv.environment["outputHashMode"] = "flat";
        drv.environment["out"] = output.path->print(m_dir);
    }

    void computeOutputs(nix::Derivation& drv, std::size_t wanted)
    {
        static constexpr std::array<const char*, 3> kNames{"out", "dev", "lib"};
        std::string names;
        for (std::size_t at = 0; at < wanted; ++at) {
            drv.outputs[kNames[at]].path = m_script; // of the right kind while it is hashed
            drv.environment[kNames[at]] = "";
            names += (at == 0 ? "" : " ") + std::string(kNames[at]);
        }
        drv.environment["outputs"] = names;
        const nix::Hash hash = good(m_hashes.masked(drv)).hash;
        for (auto& [name, output] : drv.outputs) {
            output.path = good(nix::computeOutputPath(m_dir, drv.name, name, hash));
            drv.environment[name] = output.path->print(m_dir);
        }
    }

    void keep(Part part, const nix::Derivation& drv)
    {
        nix::StorePath path = good(nix::computeDerivationPath(m_dir, drv));
        if (auto added = m_hashes.add(path, drv); !added) {
            fmt::print(stderr, "{}\n", added.error().message);
            std::exit(1);
        }
        const std::string text = nix::printDerivation(m_dir, drv);
        m_made.bytes += text.size();
        writeFile(path.print(m_dir), text);
        MadeDerivation made{part, drv.name, std::move(path), {}};
        for (const auto& [name, output] : drv.outputs)
            made.outputs.emplace_back(name, *output.path);
        m_made.derivations.push_back(std::move(made));
    }

    const nix::StoreDir& m_dir;
    const Collection& m_wanted;
    Draw m_draw;
    nix::ModuloHashes m_hashes;
    const nix::StorePath m_script;
    std::vector<std::size_t> m_sources;
    std::vector<std::size_t> m_packages;
    MadeCollection m_made;
};

} // namespace

std::size_t Draw::below(std::size_t limit)
{
    m_state = m_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (m_state >> 33U) % limit;
}

MadeCollection makeCollection(const nix::StoreDir& dir, const Collection& wanted)
{
    return Maker(dir, wanted).run();
}

} // namespace penstock::bench
