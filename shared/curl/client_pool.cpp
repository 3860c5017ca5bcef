// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/curl/client_pool.h"

namespace penstock::curl {

ClientPool::ClientPool(HttpClientOptions options, std::size_t maxIdle)
    : m_options(std::move(options)), m_maxIdle(maxIdle)
{}

ClientPool::Lease ClientPool::take()
{
    {
        const MutexLock lock(m_mutex);
        if (!m_idle.empty()) {
            HttpClient client = std::move(m_idle.back());
            m_idle.pop_back();
            return Lease(*this, std::move(client));
        }
    }
    return Lease(*this, HttpClient(m_options));
}

void ClientPool::giveBack(HttpClient client)
{
    const MutexLock lock(m_mutex);
    if (m_idle.size() < m_maxIdle)
        m_idle.push_back(std::move(client));
}

} // namespace penstock::curl
