// SPDX-License-Identifier: GPL-3.0-or-later
// The lexical layer of .drv files: strings, lists and punctuation of the ATerm subset that Nix writes
// (nix-formats 2.1). Pure. Errors are Invalid with the byte offset, or Exhausted at the item limit.
#pragma once

#include "shared/base/result.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace penstock::nix {

inline constexpr std::size_t kMaxAtermItems = 1'000'000; // list items of one file, all lists together

void appendAtermString(std::string& out, std::string_view text);

class AtermReader {
public:
    explicit AtermReader(std::string_view text) : m_text(text) {}

    // True, and past it, when the text goes on with token.
    bool take(std::string_view token);
    Result<void> expect(std::string_view token);
    Result<std::string> string();
    // "[" item { "," item } "]"; item is called at the start of each and returns Result<void>.
    template <class Item> Result<void> list(Item item)
    {
        PENSTOCK_TRY_VOID(expect("["));
        if (take("]"))
            return {};
        do {
            PENSTOCK_TRY_VOID(countItem());
            PENSTOCK_TRY_VOID(item());
        } while (take(","));
        return expect("]");
    }
    [[nodiscard]] bool atEnd() const { return m_at == m_text.size(); }
    [[nodiscard]] tl::unexpected<Error> bad(std::string_view what) const;

private:
    Result<void> countItem();

    std::string_view m_text;
    std::size_t m_at = 0;
    std::size_t m_items = 0;
};

} // namespace penstock::nix
