// SPDX-License-Identifier: GPL-3.0-or-later
// Strong ids. Each is a positive 64-bit number given out by the server and never used again; 0 is not an
// id. The builder link, SQL, JSON and logs carry the same number. Values, callable from any thread.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace penstock {

template <class Tag> class Id {
public:
    explicit constexpr Id(std::uint64_t value) : m_value(value) {}
    [[nodiscard]] constexpr std::uint64_t value() const { return m_value; }
    friend constexpr auto operator<=>(Id, Id) = default;

private:
    std::uint64_t m_value;
};

using JobId = Id<struct JobTag>;
using StepId = Id<struct StepTag>;
// An attempt's id is its fencing number: it grows with every attempt of the whole farm.
using AttemptId = Id<struct AttemptTag>;
using MachineId = Id<struct MachineTag>;
// One connection of a peer to this server process; never stored.
using SessionId = Id<struct SessionTag>;
// One question of a client to the core; never stored.
using RequestId = Id<struct RequestTag>;

} // namespace penstock

template <class Tag> struct std::hash<penstock::Id<Tag>> {
    std::size_t operator()(penstock::Id<Tag> id) const noexcept
    {
        return std::hash<std::uint64_t>{}(id.value());
    }
};
