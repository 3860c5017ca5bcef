// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/models/series.h"

#include <algorithm>
#include <cmath>

namespace penstock::gui {

namespace {

double minutesBefore(WallTime at, WallTime now)
{
    return static_cast<double>(at.micros() - now.micros()) / 60e6;
}

} // namespace

QList<QPointF> pointsOf(const std::vector<FarmSample>& samples, WallTime now, const Metric& metric)
{
    QList<QPointF> points;
    std::int64_t bucket = -1;
    for (const FarmSample& sample : samples) {
        const double value = metric(sample);
        const std::int64_t own = sample.at.micros() / kBucket.count();
        if (own == bucket)
            points.back().ry() = std::max(points.back().y(), value);
        else
            points.push_back({minutesBefore(sample.at, now), value});
        bucket = own;
    }
    // The present is shown as it is.
    if (!samples.empty())
        points.back() = {minutesBefore(samples.back().at, now), metric(samples.back())};
    return points;
}

QList<QPointF> ratesOf(const std::vector<FarmSample>& samples, WallTime now, const Metric& counter)
{
    QList<QPointF> points;
    std::size_t begin = 0;
    for (std::size_t at = 1; at < samples.size(); ++at) {
        const Duration span = samples[at].at - samples[begin].at;
        if (span < std::chrono::seconds(30))
            continue;
        const double grown = std::max(0.0, counter(samples[at]) - counter(samples[begin]));
        points.push_back(
            {minutesBefore(samples[at].at, now), grown * 60e6 / static_cast<double>(span.count())});
        begin = at;
    }
    return points;
}

QList<QPair<double, double>> gapsOf(const std::vector<FarmSample>& samples, WallTime now)
{
    QList<QPair<double, double>> gaps;
    for (std::size_t at = 1; at < samples.size(); ++at) {
        if (isGap(samples[at - 1], samples[at]))
            gaps.push_back({minutesBefore(samples[at - 1].at, now), minutesBefore(samples[at].at, now)});
    }
    return gaps;
}

double niceCeiling(double value, double lowest)
{
    const double wanted = std::max(value, lowest);
    if (!(wanted > 0))
        return 1;
    const double power = std::pow(10.0, std::floor(std::log10(wanted)));
    for (const double factor : {1.0, 2.0, 5.0}) {
        if (wanted <= factor * power)
            return factor * power;
    }
    return 10 * power;
}

} // namespace penstock::gui
