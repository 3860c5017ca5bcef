// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/store/cutting_proxy.h"

#include <array>
#include <cstring>
#include <gtest/gtest.h>
#include <poll.h>
#include <string_view>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace penstock::store {
namespace {

using namespace std::string_view_literals;

sockaddr_un addressOf(const std::filesystem::path& path)
{
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    EXPECT_LT(text.size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, text.data(), std::min(text.size(), sizeof address.sun_path - 1));
    return address;
}

bool sendAll(int to, std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t sent = ::send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

std::string receive(int from)
{
    std::array<char, 64 * 1024> bytes{};
    const ssize_t got = ::recv(from, bytes.data(), bytes.size(), 0);
    return {bytes.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

} // namespace

CuttingProxy::CuttingProxy(std::filesystem::path target)
    : m_target(std::move(target)), m_listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      m_stop(::eventfd(0, EFD_CLOEXEC))
{
    const sockaddr_un address = addressOf(m_directory.path() / ".s.PGSQL.5432");
    EXPECT_EQ(::bind(m_listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(m_listener, 8), 0);
    m_thread = std::thread([this] { run(); });
}

CuttingProxy::~CuttingProxy()
{
    ::eventfd_write(m_stop, 1);
    m_thread.join();
    ::close(m_listener);
    ::close(m_stop);
}

// One client at a time: the writer's connection is all these tests use.
void CuttingProxy::run()
{
    for (;;) {
        std::array<pollfd, 2> waited{{{m_stop, POLLIN, 0}, {m_listener, POLLIN, 0}}};
        ::poll(waited.data(), waited.size(), -1);
        if (waited[0].revents != 0)
            return;
        const int client = ::accept4(m_listener, nullptr, nullptr, SOCK_CLOEXEC);
        serve(client);
        ::close(client);
    }
}

void CuttingProxy::serve(int client)
{
    const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = addressOf(m_target);
    if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        ::close(server);
        return;
    }
    for (bool isOpen = true; isOpen;) {
        std::array<pollfd, 3> waited{{{m_stop, POLLIN, 0}, {client, POLLIN, 0}, {server, POLLIN, 0}}};
        ::poll(waited.data(), waited.size(), -1);
        if (waited[0].revents != 0)
            break;
        if (waited[1].revents != 0) {
            const std::string bytes = receive(client);
            // A Bind message (no portal's name) for the prepared statement "commit", which comes alone.
            const bool isCommit = bytes.find("\0commit\0"sv) != std::string::npos && bytes.front() == 'B';
            isOpen = !bytes.empty() && sendAll(server, bytes);
            if (isCommit && m_cutsLeft > 0) {
                --m_cutsLeft;
                EXPECT_NE(receive(server).find("COMMIT"), std::string::npos);
                ++m_cuts;
                break;
            }
        }
        if (isOpen && waited[2].revents != 0) {
            const std::string bytes = receive(server);
            isOpen = !bytes.empty() && sendAll(client, bytes);
        }
    }
    ::close(server);
}

} // namespace penstock::store
