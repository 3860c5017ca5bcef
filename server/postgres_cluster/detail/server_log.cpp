// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/postgres_cluster/detail/server_log.h"

#include "shared/base/text.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>

namespace penstock::postgres_cluster {
namespace {

constexpr std::size_t kMaxWords = 2048;

} // namespace

void ServerLog::reopen()
{
    if (m_file.isOpen()) {
        m_file.reset();
        std::error_code ignored; // then the file is written from its start again
        std::filesystem::rename(m_path, m_path.string() + ".1", ignored);
        m_file = FileDescriptor(
            ::open(m_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640));
        m_size = 0;
        return;
    }
    m_file = FileDescriptor(::open(m_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
    struct stat info = {};
    if (m_file.isOpen() && ::fstat(m_file.get(), &info) == 0)
        m_size = static_cast<std::size_t>(std::max<off_t>(info.st_size, 0));
}

void ServerLog::append(std::string_view bytes)
{
    m_last.append(bytes);
    if (m_last.size() > kMaxWords)
        m_last.erase(0, m_last.size() - kMaxWords);
    if (!m_file.isOpen() || m_size + bytes.size() > m_maxBytes)
        reopen();
    if (!m_file.isOpen())
        return;
    const ssize_t written = ::write(m_file.get(), bytes.data(), bytes.size());
    if (written > 0)
        m_size += static_cast<std::size_t>(written);
}

std::string ServerLog::lastWords() const
{
    std::string words;
    for (const std::string_view line : split(m_last, '\n')) {
        const std::string_view text = trim(line);
        if (text.empty())
            continue;
        words += words.empty() ? "" : " | ";
        words += text;
    }
    constexpr std::size_t kShown = 700;
    return toValidUtf8(words.size() > kShown ? std::string_view(words).substr(words.size() - kShown) : words);
}

} // namespace penstock::postgres_cluster
