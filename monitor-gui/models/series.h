// SPDX-License-Identifier: GPL-3.0-or-later
// Samples of the history as points for charts: x in minutes before the present (0 is now), y in the metric's
// unit. One point for each kBucket, by its highest value (so an hour is at most 720 points); the last is
// exact. Pure but for QPointF; any thread.
#pragma once

#include "monitor-gui/replica/history.h"

#include <functional>
#include <QList>
#include <QPair>
#include <QPointF>

namespace penstock::gui {

inline constexpr Duration kBucket = std::chrono::seconds(5);

using Metric = std::function<double(const FarmSample&)>;

// now: the server's clock.
[[nodiscard]] QList<QPointF> pointsOf(const std::vector<FarmSample>& samples, WallTime now,
                                      const Metric& metric);

// Of a counter that only grows: its change over each half minute, per minute; what a restart took back counts
// as none.
[[nodiscard]] QList<QPointF> ratesOf(const std::vector<FarmSample>& samples, WallTime now,
                                     const Metric& counter);

// Spans of x in which data is missing.
[[nodiscard]] QList<QPair<double, double>> gapsOf(const std::vector<FarmSample>& samples, WallTime now);

// The next of 1, 2, 5 times a power of ten that is at least value and at least lowest.
[[nodiscard]] double niceCeiling(double value, double lowest);

} // namespace penstock::gui
