// SPDX-License-Identifier: GPL-3.0-or-later
// The logger that programs use: level filter, rate limit per event name, one line per record in one write.
// Callable from any thread; the write happens on the caller's thread. Never fails: when the sink cannot take
// a line, the line is lost, since there is nowhere left to say so.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/log/line_format.h"

#include <functional>
#include <memory>

namespace penstock::log {

struct LogOptions {
    LogLevel level = LogLevel::Info;
    LogFormat format = LogFormat::Text;
    std::uint32_t burst = 200; // records of one event name per window; the rest is counted and told
    Duration window = std::chrono::seconds(10);
    std::shared_ptr<const Clock> clock{}; // none: the machine's clocks
    std::function<void(std::string_view line)>
        write{}; // none: standard error; called under the logger's lock
};

// From the words of --log-level and --log-format, which were checked against the choices: others give the defaults.
[[nodiscard]] LogOptions optionsFor(std::string_view level, std::string_view format);

// Tells what the rate limit dropped when it is destroyed.
[[nodiscard]] std::unique_ptr<Logger> makeLogger(LogOptions options);

} // namespace penstock::log
