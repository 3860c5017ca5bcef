// SPDX-License-Identifier: GPL-3.0-or-later
// Derivation: the content of a .drv file, read and written in Nix's canonical form (nix-formats 2), and
// BasicDerivation, the resolved form that a daemon builds. Pure values; callable from any thread.
// Parsing accepts only text that printing gives back byte for byte; errors are Invalid or Exhausted.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/hash.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::nix {

inline constexpr std::size_t kMaxDerivationBytes = 64U << 20U;
inline constexpr unsigned kMaxDerivationNesting = 64; // of dynamic derivations

enum class OutputKind : std::uint8_t { InputAddressed, Fixed, Floating, Deferred, Impure };

struct DerivationOutput {
    std::optional<StorePath> path; // none: known only after the build
    std::string method;            // "" or ALGO or r:ALGO, as in the file
    std::string hash;              // expected hash of a fixed output, as in the file, or "impure"

    friend bool operator==(const DerivationOutput&, const DerivationOutput&) = default;
};

// Which outputs of an input derivation are needed; dynamic: outputs that are derivations themselves.
struct InputNode {
    std::set<std::string> outputs;
    std::map<std::string, InputNode> dynamic;

    friend bool operator==(const InputNode&, const InputNode&) = default;
};

using OutputMap = std::map<std::string, DerivationOutput>;

struct Derivation {
    std::string name; // of the .drv without the suffix; not in the file
    OutputMap outputs;
    std::map<StorePath, InputNode> inputDerivations;
    StorePathSet inputSources;
    std::string platform;
    std::string builder;
    std::vector<std::string> arguments;
    std::map<std::string, std::string> environment;

    // All outputs of a derivation are of one kind.
    [[nodiscard]] OutputKind outputKind() const;
    [[nodiscard]] bool isBuiltin() const { return builder.starts_with("builtin:"); }
    [[nodiscard]] bool hasDynamicInputs() const;
    // Input derivations and sources: the references of the .drv file.
    [[nodiscard]] StorePathSet references() const;

    friend bool operator==(const Derivation&, const Derivation&) = default;
};

// What BuildDerivation takes: no input derivations, all inputs by path.
struct BasicDerivation {
    OutputMap outputs;
    StorePathSet inputs;
    std::string platform;
    std::string builder;
    std::vector<std::string> arguments;
    std::map<std::string, std::string> environment;
};

// name: of the derivation, without ".drv".
[[nodiscard]] Result<Derivation> parseDerivation(const StoreDir& dir, std::string_view name,
                                                 std::string_view text);
// The same for text that claims to be the file at path: also refuses text whose own path is another
// (Corrupt).
[[nodiscard]] Result<Derivation> parseDerivationAt(const StoreDir& dir, const StorePath& path,
                                                   std::string_view text);
[[nodiscard]] std::string printDerivation(const StoreDir& dir, const Derivation& drv);
// The text that a hash modulo is of: with other keys in place of the input derivations and, when masked, nothing in
// place of the paths of its outputs.
using InputKeys = std::map<std::string, std::set<std::string>>; // to output names
[[nodiscard]] std::string printForModulo(const StoreDir& dir, const Derivation& drv, const InputKeys& inputs,
                                         bool mask);
// Where the .drv file lies in the store.
[[nodiscard]] Result<StorePath> computeDerivationPath(const StoreDir& dir, const Derivation& drv);

// A good name, a known method, and fields that go together for some kind of output.
[[nodiscard]] Result<void> checkOutput(std::string_view name, const DerivationOutput& output);
// The hash that a fixed output must have. Invalid when the output is not fixed, or its algorithm is unknown
// here.
[[nodiscard]] Result<Hash> fixedHash(const DerivationOutput& output);
[[nodiscard]] FileMethod fixedMethod(const DerivationOutput& output);

// Replaced in builder, arguments and environment: placeholders of inputs that were not known before.
using Rewrites = std::map<std::string, std::string>;
// inputs: the sources and the paths of all needed outputs of the input derivations.
[[nodiscard]] BasicDerivation resolve(const Derivation& drv, StorePathSet inputs,
                                      const Rewrites& rewrites = {});
// The placeholder of an output of another derivation that is not built yet (with the leading slash).
[[nodiscard]] std::string outputPlaceholder(const StorePath& drvPath, std::string_view outputName);

} // namespace penstock::nix
