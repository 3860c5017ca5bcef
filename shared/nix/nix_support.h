// SPDX-License-Identifier: GPL-3.0-or-later
// What a build says of itself in the nix-support folder of its outputs: products, metrics, a release name,
// and that it failed although its builder succeeded. Read from the outputs' NARs, never from the file system,
// so that no link is ever followed. In order: SupportFilesVisitor over each output's NAR, mergeSupport over
// all of them, ProductVisitor over each NAR that has products, dropUnseen. Pure; one thread. Lines and files
// that break a rule are left out and said in the notes, never an error: they are the builder's text and may
// hold anything.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/hash.h"
#include "shared/nix/nar.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::nix {

inline constexpr std::size_t kMaxSupportFile = 16U << 20U; // bytes; larger ones are left out whole
inline constexpr std::size_t kMaxProducts = 1'000;         // of a build; later ones are left out
inline constexpr std::size_t kMaxMetrics = 1'000;
inline constexpr std::size_t kMaxProductPath = 4'096; // bytes, also of a default path
inline constexpr std::size_t kMaxSupportWord = 255;   // types, names, units and the release name
inline constexpr std::size_t kMaxSupportNotes = 20;   // later ones are only counted

// For people: what was left out and why.
class SupportNotes {
public:
    void add(std::string note);
    void addAll(const SupportNotes& others, std::string_view prefix);
    [[nodiscard]] const std::vector<std::string>& texts() const { return m_texts; }
    [[nodiscard]] std::size_t count() const { return m_count; } // those without a text included

private:
    std::vector<std::string> m_texts;
    std::size_t m_count = 0;
};

enum class ProductKind : std::uint8_t { File, Directory, Symlink };

struct BuildProduct {
    std::string type; // "doc"
    std::string subtype;
    StorePath output;         // where it lies
    std::string relativePath; // below it, without "." or ".."; empty: the output itself
    std::string defaultPath;  // below a directory, what to show first; may be empty
    std::string name;         // last part of the path, or empty when it has unusual characters
    std::optional<ProductKind> kind = std::nullopt;   // none: not seen yet
    std::optional<std::uint64_t> size = std::nullopt; // of files; a link is not followed
    std::optional<Hash> sha256 = std::nullopt;

    friend bool operator==(const BuildProduct&, const BuildProduct&) = default;
};

struct BuildMetric {
    double value; // finite
    std::string unit;
    friend bool operator==(const BuildMetric&, const BuildMetric&) = default;
};

struct NixSupport {
    std::vector<BuildProduct> products;
    std::map<std::string, BuildMetric> metrics;
    std::optional<std::string> releaseName;
    bool failed = false;
    SupportNotes notes;
};

// Grammars, whole lines (white space at their ends aside):
//   TYPE SUBTYPE PATH [DEFAULT]   TYPE, SUBTYPE [A-Za-z0-9_-]+; PATH "…" or without white space, quotes and
//   <> NAME VALUE [UNIT]             NAME [A-Za-z0-9._-]+; VALUE a finite number; UNIT [A-Za-z0-9._%-]+, else
//   none
// A path must be absolute, in a store path of dir, UTF-8 without control characters, and have no "..".
[[nodiscard]] std::vector<BuildProduct> parseProducts(const StoreDir& dir, std::string_view text,
                                                      SupportNotes& notes);
// The last line of a name counts; what follows the unit does not.
[[nodiscard]] std::map<std::string, BuildMetric> parseMetrics(std::string_view text, SupportNotes& notes);
// [A-Za-z0-9.@:_-]+ after trimming.
[[nodiscard]] std::optional<std::string> parseReleaseName(std::string_view text, SupportNotes& notes);

// The files of one output, as they are.
struct SupportFiles {
    bool isDirectory = false; // the output itself
    bool hasProducts = false; // there is a regular file of that name, even if it was too large
    std::optional<std::string> products;
    std::optional<std::string> metrics;
    std::optional<std::string> releaseName;
    bool failed = false; // nix-support/failed is there, whatever it is
    SupportNotes notes;
};

// Takes regular files directly in nix-support, where that is a directory. Never stops the parser.
class SupportFilesVisitor final : public NarVisitor {
public:
    // maxFile: bytes, for who reads many outputs and has to bound them together.
    explicit SupportFilesVisitor(std::size_t maxFile = kMaxSupportFile) : m_maxFile(maxFile) {}

    [[nodiscard]] const SupportFiles& files() const { return m_files; }
    [[nodiscard]] SupportFiles take() && { return std::move(m_files); }

    Result<void> onDirectory(std::string_view path) override;
    Result<void> onSymlink(std::string_view path, std::string_view target) override;
    Result<void> onFile(std::string_view path, const NarFile& file) override;
    Result<void> onContent(std::string_view bytes) override;
    Result<void> onFileEnd() override;

private:
    std::optional<std::string>* contentFor(std::string_view path);
    void noteOther(std::string_view path, std::string_view kind);

    std::size_t m_maxFile;
    SupportFiles m_files;
    std::string* m_open = nullptr; // where content goes
};

struct OutputSupport {
    std::string outputName; // "out"
    StorePath path;
    SupportFiles files;
};

// outputs: in the derivation's order (by name), which decides: products follow one another, the last release
// name that is one counts, the last metric of a name counts, one failure is enough. A product must lie in one of
// the outputs. Only when no output has a hydra-build-products file, each output that is a directory is a product
// "nix-build" (subtype: the output's name, empty for "out"; name: that of the store path).
[[nodiscard]] NixSupport mergeSupport(const StoreDir& dir, const std::vector<OutputSupport>& outputs);

// Says of the products in an output what they are, and size and SHA-256 of files. A path that leads through a
// link is none of the NAR's, and so is not seen. Never stops the parser.
class ProductVisitor final : public NarVisitor {
public:
    ProductVisitor(const StorePath& output,
                   NixSupport& support); // support outlives it, and keeps its products
    [[nodiscard]] bool isNeeded() const { return !m_wanted.empty(); } // else the NAR need not be read

    Result<void> onDirectory(std::string_view path) override;
    Result<void> onSymlink(std::string_view path, std::string_view target) override;
    Result<void> onFile(std::string_view path, const NarFile& file) override;
    Result<void> onContent(std::string_view bytes) override;
    Result<void> onFileEnd() override;

private:
    std::vector<BuildProduct*> productsAt(std::string_view path, ProductKind kind);

    std::multimap<std::string, BuildProduct*, std::less<>> m_wanted;
    std::vector<BuildProduct*> m_open; // those that the file being read is
    std::optional<Hasher> m_hasher;
};

// Leaves out the products that are in no NAR.
void dropUnseen(NixSupport& support);

} // namespace penstock::nix
