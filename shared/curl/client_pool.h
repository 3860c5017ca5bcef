// SPDX-License-Identifier: GPL-3.0-or-later
// ClientPool: HttpClients with the same options for several threads, so that connections are kept between
// requests of any of them. Callable from any thread; must outlive its leases.
#pragma once

#include "shared/base/mutex.h"
#include "shared/curl/http_client.h"

#include <cstddef>
#include <utility>
#include <vector>

namespace penstock::curl {

class ClientPool {
public:
    // One client, of one thread until it is dropped.
    class Lease {
    public:
        Lease(ClientPool& pool, HttpClient client) : m_pool(&pool), m_client(std::move(client)) {}
        ~Lease() { m_pool->giveBack(std::move(m_client)); }
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        [[nodiscard]] HttpClient* operator->() { return &m_client; }

    private:
        ClientPool* m_pool;
        HttpClient m_client;
    };

    // maxIdle: of the clients nobody uses, how many are kept; the rest are closed.
    explicit ClientPool(HttpClientOptions options, std::size_t maxIdle = 16);

    [[nodiscard]] Lease take();

private:
    void giveBack(HttpClient client);

    const HttpClientOptions m_options;
    const std::size_t m_maxIdle;
    Mutex m_mutex;
    std::vector<HttpClient> m_idle PENSTOCK_GUARDED_BY(m_mutex); // the last used is taken first
};

} // namespace penstock::curl
