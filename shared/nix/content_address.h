// SPDX-License-Identifier: GPL-3.0-or-later
// Content addresses (nix-formats 1.5 to 1.7): the text form, and a check that a NAR, a path and its references really
// belong together, so that the path needs no signature to be trusted. Pure. Errors: Invalid for texts, Corrupt when
// the content is not that of the path.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/hash.h"
#include "shared/nix/store_path.h"

#include <memory>
#include <string>
#include <string_view>

namespace penstock::nix {

enum class AddressMethod : std::uint8_t { Text, Flat, Recursive };

struct ContentAddress {
    AddressMethod method;
    Hash hash;

    // "text:sha256:…", "fixed:sha256:…", "fixed:r:sha1:…"
    [[nodiscard]] static Result<ContentAddress> parse(std::string_view text);
    [[nodiscard]] std::string print() const;
    friend bool operator==(const ContentAddress&, const ContentAddress&) = default;
};

// The path that an address, a name and references make. Invalid for combinations that Nix does not have.
[[nodiscard]] Result<StorePath> computeContentPath(const StoreDir& dir, std::string_view name,
                                                   const ContentAddress& address, const SourceReferences& references);

// Takes the NAR of a path in pieces and says at its end whether address and path are true.
class ContentCheck {
public:
    // Corrupt at once when the address does not make the path.
    [[nodiscard]] static Result<ContentCheck> begin(const StoreDir& dir, const StorePath& path,
                                                    const ContentAddress& address, const StorePathSet& references);
    ~ContentCheck();
    ContentCheck(ContentCheck&&) noexcept;
    ContentCheck& operator=(ContentCheck&&) noexcept;

    [[nodiscard]] Result<void> push(std::string_view nar);
    [[nodiscard]] Result<void> finish();

private:
    class State;
    explicit ContentCheck(std::unique_ptr<State> state);
    std::unique_ptr<State> m_state;
};

} // namespace penstock::nix
