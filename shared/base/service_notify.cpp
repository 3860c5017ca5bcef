// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/service_notify.h"

#include <cstddef>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace penstock {

void ServiceNotify::tell(std::string_view assignments) const
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (m_socketName.empty() || m_socketName.size() >= sizeof address.sun_path)
        return;
    std::memcpy(address.sun_path, m_socketName.data(), m_socketName.size());
    if (address.sun_path[0] == '@') // an abstract name
        address.sun_path[0] = '\0';
    const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + m_socketName.size());
    (void)::sendto(descriptor, assignments.data(), assignments.size(), MSG_NOSIGNAL,
                   reinterpret_cast<const sockaddr*>(&address), size);
    ::close(descriptor);
}

} // namespace penstock
