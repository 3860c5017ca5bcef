// SPDX-License-Identifier: GPL-3.0-or-later
// The system calls of the directory store and the outbox, with errors that name path and bytes. Blocking, any
// thread. Errors: Exhausted (no space, quota), Denied (rights, read-only), Unavailable (device or server
// trouble), NotFound, Conflict (it exists), Invalid (name too long).
#pragma once

#include "shared/base/result.h"

#include <string>
#include <string_view>

namespace penstock::cache::detail {

// A file descriptor that is closed at the end.
class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int number) : m_number(number) {}
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept;
    Descriptor& operator=(Descriptor&& other) noexcept;
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    [[nodiscard]] int get() const { return m_number; }
    [[nodiscard]] bool isOpen() const { return m_number >= 0; }

private:
    int m_number = -1;
};

// doing: "writing 120 bytes to /cache/nar/x".
[[nodiscard]] Error systemError(int number, std::string_view doing);

// base: of the *at calls; AT_FDCWD for paths of their own. path is what errors call it.
[[nodiscard]] Result<Descriptor> openAt(int base, const std::string& name, int flags,
                                        const std::string& path);
[[nodiscard]] Result<void> writeAll(int descriptor, std::string_view bytes, const std::string& path);
[[nodiscard]] Result<void> syncFile(int descriptor, const std::string& path);
[[nodiscard]] Result<std::string> readSmall(int base, const std::string& name, std::size_t maxBytes,
                                            const std::string& path);
// The directory and all above it that are missing; made ones are durable.
[[nodiscard]] Result<void> makeDirectories(const std::string& path);

} // namespace penstock::cache::detail
