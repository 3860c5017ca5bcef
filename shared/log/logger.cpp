// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/log/logger.h"

#include "shared/base/mutex.h"
#include "shared/log/rate_limit.h"

#include <cerrno>
#include <unistd.h>

namespace penstock::log {
namespace {

void writeToStandardError(std::string_view line)
{
    while (!line.empty()) {
        const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        line.remove_prefix(static_cast<std::size_t>(written));
    }
}

class LineLogger final : public Logger {
public:
    explicit LineLogger(LogOptions options)
        : m_options(std::move(options)), m_limit(m_options.burst, m_options.window)
    {
        if (!m_options.clock)
            m_options.clock = std::make_shared<SystemClock>();
        if (!m_options.write)
            m_options.write = writeToStandardError;
    }
    LineLogger(const LineLogger&) = delete;
    LineLogger& operator=(const LineLogger&) = delete;

    ~LineLogger() override
    {
        const MutexLock lock(m_mutex);
        for (const RateLimit::Dropped& dropped : m_limit.takeUntold())
            write(LogLevel::Warning, "log.suppressed",
                  {{"of_event", dropped.event}, {"count", dropped.count}}, 0);
    }

    void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) override
    {
        if (level < m_options.level)
            return;
        const MutexLock lock(m_mutex);
        const RateLimit::Verdict verdict = m_limit.admit(event, m_options.clock->now().mono);
        if (verdict.write)
            write(level, event, fields, verdict.suppressed);
    }

private:
    void write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields,
               std::uint64_t suppressed) PENSTOCK_REQUIRES(m_mutex)
    {
        m_options.write(formatLine(m_options.format, {.at = m_options.clock->now().wall,
                                                      .level = level,
                                                      .event = event,
                                                      .fields = {fields.begin(), fields.size()},
                                                      .suppressed = suppressed}));
    }

    LogOptions m_options;
    Mutex m_mutex;
    RateLimit m_limit PENSTOCK_GUARDED_BY(m_mutex);
};

} // namespace

LogOptions optionsFor(std::string_view level, std::string_view format)
{
    LogOptions options;
    options.level = parseLogLevel(level).value_or(options.level);
    options.format = parseLogFormat(format).value_or(options.format);
    return options;
}

std::unique_ptr<Logger> makeLogger(LogOptions options)
{
    return std::make_unique<LineLogger>(std::move(options));
}

} // namespace penstock::log
