// SPDX-License-Identifier: GPL-3.0-or-later
// Laws: an archive that parses is written the same way again; pieces make no difference, neither to what is
// found nor to the error; its listing is JSON.
#include "tests/fuzz/fuzz_target.h"

#include "shared/base/check.h"
#include "shared/base/text.h"
#include "shared/nix/debug_info.h"
#include "shared/nix/json.h"
#include "shared/nix/listing.h"
#include "shared/nix/nar.h"
#include "shared/nix/nar_tee.h"
#include "shared/nix/nix_support.h"

#include <optional>
#include <string>
#include <string_view>

using namespace penstock;
using namespace penstock::nix;

namespace {

// Writes what it is told of.
class Rewriter final : public NarVisitor {
public:
    std::string text;
    Result<void> finish() { return m_writer.finish(); }

    Result<void> onDirectory(std::string_view path) override { return m_writer.beginDirectory(nameOf(path)); }
    Result<void> onDirectoryEnd(std::string_view) override { return m_writer.endDirectory(); }
    Result<void> onSymlink(std::string_view path, std::string_view target) override
    {
        return m_writer.symlink(nameOf(path), target);
    }
    Result<void> onFile(std::string_view path, const NarFile& file) override
    {
        return m_writer.beginFile(nameOf(path), file.size, file.isExecutable);
    }
    Result<void> onContent(std::string_view bytes) override { return m_writer.content(bytes); }

private:
    static std::string_view nameOf(std::string_view path) { return path.substr(path.rfind('/') + 1); }

    NarWriter m_writer{[this](std::string_view bytes) -> Result<void> {
        text.append(bytes);
        return {};
    }};
};

struct Outcome {
    std::optional<std::string> error;
    std::size_t taken = 0;
    std::string rewritten;
};

Outcome parse(std::string_view bytes, std::size_t piece)
{
    Rewriter rewriter;
    NarParser parser(rewriter, {1U << 20U, 1000});
    Outcome outcome;
    while (outcome.taken < bytes.size()) {
        const std::string copy(bytes.substr(outcome.taken, piece)); // of exact size
        const auto count = parser.push(copy);
        if (!count) {
            outcome.error = count.error().message;
            return outcome;
        }
        outcome.taken += *count;
        if (*count < copy.size())
            break;
    }
    PENSTOCK_CHECK(parser.byteCount() == outcome.taken);
    if (const auto finished = parser.finish(); !finished)
        outcome.error = finished.error().message;
    else
        PENSTOCK_CHECK(rewriter.finish().has_value());
    outcome.rewritten = std::move(rewriter.text);
    return outcome;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text = textOf(std::as_bytes(std::span(bytes, size)));
    const Outcome whole = parse(text, text.size());
    const Outcome pieces = parse(text, 1);
    PENSTOCK_CHECK(whole.error == pieces.error);
    if (whole.error)
        return 0;
    PENSTOCK_CHECK(whole.taken == pieces.taken);
    PENSTOCK_CHECK(whole.rewritten == text.substr(0, whole.taken));
    PENSTOCK_CHECK(pieces.rewritten == whole.rewritten);
    ListingBuilder listing;
    DebugInfoVisitor debug;
    SupportFilesVisitor support;
    NarTee tee({&listing, &debug, &support});
    PENSTOCK_CHECK(parseNar(text.substr(0, whole.taken), tee).has_value());
    // A name or target that is not UTF-8 has no listing. Our reader of JSON stops at 64 levels, two for a
    // directory.
    if (const auto json = std::move(listing).finish(); json && split(*json, '{').size() < kMaxJsonNesting)
        PENSTOCK_CHECK(parseJson(*json).has_value());
    return 0;
}
