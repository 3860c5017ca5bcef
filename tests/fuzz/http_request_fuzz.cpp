// SPDX-License-Identifier: GPL-3.0-or-later
// Laws: requests come out the same whether the bytes come at once or one by one; limits hold for what comes out.
#include "tests/fuzz/fuzz_target.h"

#include "server/http/request_reader.h"
#include "shared/base/bytes.h"
#include "shared/base/check.h"

#include <string>
#include <string_view>

using namespace penstock;
using namespace penstock::http;

namespace {

void collect(RequestReader& reader, std::string& seen)
{
    while (reader.state() == RequestReader::State::Complete) {
        PENSTOCK_CHECK(reader.body().size() <= kMaxBodyBytes);
        PENSTOCK_CHECK(reader.head().headers.size() <= kMaxHeaders);
        PENSTOCK_CHECK(reader.head().segments.size() <= kMaxSegments);
        if (const auto query = parseQuery(reader.head().query))
            PENSTOCK_CHECK(query->size() <= kMaxQueryKeys);
        seen += reader.head().method + " " + reader.head().path + "\n" + reader.body() + "\n";
        reader.next();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text = textOf(std::as_bytes(std::span(bytes, size)));
    RequestReader whole;
    std::string seenWhole;
    whole.push(text);
    collect(whole, seenWhole);
    RequestReader pieces;
    std::string seenPieces;
    for (const char& c : text) {
        pieces.push(std::string_view(&c, 1));
        collect(pieces, seenPieces);
    }
    PENSTOCK_CHECK(seenWhole == seenPieces);
    PENSTOCK_CHECK(whole.state() == pieces.state() && whole.status() == pieces.status());
    return 0;
}
