// SPDX-License-Identifier: GPL-3.0-or-later
// NarTee: several visitors over one parse of a NAR. Each gets every event, in the order given; the first
// error stops all. The visitors outlive it. One thread.
#pragma once

#include "shared/nix/nar.h"

#include <utility>
#include <vector>

namespace penstock::nix {

class NarTee final : public NarVisitor {
public:
    explicit NarTee(std::vector<NarVisitor*> visitors) : m_visitors(std::move(visitors)) {}

    Result<void> onDirectory(std::string_view path) override
    {
        return each([&](NarVisitor& visitor) { return visitor.onDirectory(path); });
    }
    Result<void> onDirectoryEnd(std::string_view path) override
    {
        return each([&](NarVisitor& visitor) { return visitor.onDirectoryEnd(path); });
    }
    Result<void> onSymlink(std::string_view path, std::string_view target) override
    {
        return each([&](NarVisitor& visitor) { return visitor.onSymlink(path, target); });
    }
    Result<void> onFile(std::string_view path, const NarFile& file) override
    {
        return each([&](NarVisitor& visitor) { return visitor.onFile(path, file); });
    }
    Result<void> onContent(std::string_view bytes) override
    {
        return each([&](NarVisitor& visitor) { return visitor.onContent(bytes); });
    }
    Result<void> onFileEnd() override
    {
        return each([](NarVisitor& visitor) { return visitor.onFileEnd(); });
    }

private:
    template <class Tell> Result<void> each(const Tell& tell)
    {
        for (NarVisitor* visitor : m_visitors)
            PENSTOCK_TRY_VOID(tell(*visitor));
        return {};
    }
    std::vector<NarVisitor*> m_visitors;
};

} // namespace penstock::nix
