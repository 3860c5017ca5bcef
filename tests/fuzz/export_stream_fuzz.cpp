// SPDX-License-Identifier: GPL-3.0-or-later
// Laws: pieces make no difference, neither to what is found nor to the error; what is written of a stream
// that parses (references sorted, without old signatures) parses, and is written the same way again.
#include "tests/fuzz/fuzz_target.h"

#include "shared/base/check.h"
#include "shared/nix/export_stream.h"

#include <optional>
#include <string>
#include <string_view>

using namespace penstock;
using namespace penstock::nix;

namespace {

class Rewriter final : public ExportVisitor {
public:
    std::string text;
    Result<void> finish() { return m_writer.finish(); }

    Result<void> onNar(std::string_view bytes) override { return m_writer.nar(bytes); }
    Result<void> onPath(const ExportedPath& path) override { return m_writer.endPath(path); }

private:
    ExportWriter m_writer{StoreDir::standard(), [this](std::string_view bytes) -> Result<void> {
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
    ExportReader reader(StoreDir::standard(), rewriter, {{1U << 20U, 1000}, 100, 1000});
    Outcome outcome;
    while (outcome.taken < bytes.size()) {
        const std::string copy(bytes.substr(outcome.taken, piece)); // of exact size
        const auto count = reader.push(copy);
        if (!count) {
            outcome.error = count.error().message;
            return outcome;
        }
        outcome.taken += *count;
        if (*count < copy.size())
            break;
    }
    if (const auto finished = reader.finish(); !finished)
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
    PENSTOCK_CHECK(whole.rewritten == pieces.rewritten);
    // What was written is canonical: it parses, and is written the same way.
    const Outcome again = parse(whole.rewritten, whole.rewritten.size());
    PENSTOCK_CHECK(!again.error && again.rewritten == whole.rewritten);
    return 0;
}
