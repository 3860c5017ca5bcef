// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/time_chart.h"

#include "monitor-gui/models/format.h"
#include "monitor-gui/models/series.h"
#include "monitor-gui/views/paint.h"

#include <cmath>
#include <QAreaSeries>
#include <QGraphicsLayout>
#include <QLineSeries>
#include <QPainter>
#include <QStringList>
#include <QValueAxis>
#include <utility>

namespace penstock::gui {

namespace {

constexpr int kHeader = 30;
constexpr int kLegendLine = 22;
// An axis that could be shorter waits so many refreshes before it shrinks, so that it does not jump.
constexpr int kShrinkAfter = 30;

} // namespace

TimePlot::TimePlot(const ThemeSource& theme, QWidget* parent) : QChartView(parent), m_theme(theme)
{
    setFrameShape(QFrame::NoFrame);
    setRenderHint(QPainter::Antialiasing);
    setFocusPolicy(Qt::NoFocus);
    setAttribute(Qt::WA_TransparentForMouseEvents);
    viewport()->setAutoFillBackground(false);
    setBackgroundBrush(Qt::NoBrush);
}

void TimePlot::setGaps(QList<QPair<double, double>> gaps)
{
    m_gaps = std::move(gaps);
}

void TimePlot::setVoid(bool empty, const QString& sentence)
{
    m_empty = empty;
    m_sentence = sentence;
}

void TimePlot::drawForeground(QPainter* painter, const QRectF&)
{
    const Theme& theme = m_theme.theme();
    const QRectF area = chart()->plotArea();
    painter->save();
    if (m_empty) {
        painter->setPen(theme.mutedInk);
        painter->drawText(area, Qt::AlignCenter | Qt::TextWordWrap, m_sentence);
    }
    for (const auto& [from, to] : m_gaps) {
        const qreal left = std::max(area.left(), chart()->mapToPosition({from, 0}).x());
        const qreal right = std::min(area.right(), chart()->mapToPosition({to, 0}).x());
        if (right - left < 1)
            continue;
        const QRectF gap(left, area.top(), right - left, area.height());
        painter->fillRect(gap, theme.card);
        paintHatch(*painter, gap, theme);
        painter->setPen(QPen(theme.mutedInk, 1, Qt::DotLine));
        painter->drawLine(gap.topLeft(), gap.bottomLeft());
        painter->drawLine(gap.topRight(), gap.bottomRight());
    }
    painter->restore();
}

TimeChart::TimeChart(ChartLook look, const ThemeSource& theme, QWidget* parent)
    : QFrame(parent),
      m_look(std::move(look)),
      m_theme(theme),
      m_plot(new TimePlot(theme, this)),
      m_x(new QValueAxis(this)),
      m_y(new QValueAxis(this)),
      m_last(m_look.series.size(), 0.0)
{
    setAccessibleName(m_look.title);
    build();
    recolour();
    connect(&theme, &ThemeSource::changed, this, &TimeChart::recolour);
    setMinutes(m_minutes);
}

void TimeChart::build()
{
    QChart* chart = m_plot->chart();
    chart->legend()->hide();
    chart->setAnimationOptions(QChart::NoAnimation);
    chart->setBackgroundVisible(false);
    chart->setMargins(QMargins(0, 0, 0, 0));
    chart->layout()->setContentsMargins(0, 0, 0, 0);
    chart->addAxis(m_x, Qt::AlignBottom);
    chart->addAxis(m_y, Qt::AlignLeft);
    const auto add = [&](QAbstractSeries* series) {
        chart->addSeries(series);
        series->attachAxis(m_x);
        series->attachAxis(m_y);
    };
    if (m_look.kind == ChartKind::Stacked)
        m_floor = new QLineSeries(this);
    QLineSeries* below = m_floor;
    for (std::size_t at = 0; at < m_look.series.size(); ++at) {
        auto* line = new QLineSeries(this);
        m_lines.push_back(line);
        if (m_look.kind == ChartKind::Stacked) {
            auto* area = new QAreaSeries(line, below);
            m_areas.push_back(area);
            add(area);
            add(line);
            below = line;
        } else {
            add(line);
        }
    }
    if (m_look.hasGate) {
        m_gate = new QLineSeries(this);
        add(m_gate);
    }
    m_x->setLabelFormat(QStringLiteral("%.0f min"));
    m_x->setTickCount(4);
    m_y->setTickCount(3);
    m_y->setRange(0, m_look.lowestTop);
}

void TimeChart::recolour()
{
    const Theme& theme = m_theme.theme();
    for (QValueAxis* axis : {m_x, m_y}) {
        axis->setLabelsColor(theme.mutedInk);
        axis->setLabelsFont(scaled(font(), 0.85));
        axis->setGridLineColor(theme.grid);
        axis->setLinePen(QPen(theme.border, 1));
        axis->setMinorGridLineVisible(false);
    }
    for (std::size_t at = 0; at < m_lines.size(); ++at) {
        const SeriesLook& look = m_look.series[at];
        QPen pen(theme.tone(look.tone), 2, look.style);
        pen.setJoinStyle(Qt::RoundJoin);
        if (m_look.kind == ChartKind::Lines) {
            m_lines[at]->setPen(pen);
            continue;
        }
        QColor fill = theme.tone(look.tone);
        fill.setAlpha(look.tone == Tone::Blocked ? 60 : 110);
        m_areas[at]->setBrush(fill);
        m_areas[at]->setPen(Qt::NoPen); // the upper edge is a line of its own
        m_lines[at]->setPen(pen);
    }
    if (m_gate != nullptr)
        m_gate->setPen(QPen(theme.tone(Tone::Failed), 1.5, Qt::DashDotLine));
    update();
}

void TimeChart::setMinutes(double minutes)
{
    m_minutes = minutes;
    m_x->setRange(-minutes, 0);
}

void TimeChart::show(std::vector<QList<QPointF>> series, const QList<QPair<double, double>>& gaps,
                     double gate, const QString& emptySentence)
{
    for (std::size_t at = 0; at < m_last.size() && at < series.size(); ++at)
        m_last[at] = series[at].isEmpty() ? 0.0 : series[at].last().y();
    const bool empty = series.empty() || series.front().size() < 2;
    if (m_look.kind == ChartKind::Stacked)
        stack(series);
    double highest = gate * 1.1;
    for (std::size_t at = 0; at < m_lines.size() && at < series.size(); ++at) {
        for (const QPointF& point : series[at])
            highest = std::max(highest, point.y());
        m_lines[at]->replace(series[at]);
    }
    if (m_gate != nullptr)
        m_gate->replace(gate > 0 ? QList<QPointF>{{-m_minutes, gate}, {0, gate}} : QList<QPointF>{});
    m_gateValue = gate;
    const double top = niceCeiling(highest, m_look.lowestTop);
    m_shrinkTicks = top < m_y->max() ? m_shrinkTicks + 1 : 0;
    if (top > m_y->max() || m_shrinkTicks > kShrinkAfter) {
        m_y->setRange(0, top);
        m_shrinkTicks = 0;
    }
    // The top is 1, 2 or 5 times a power of ten, so these steps fall on round numbers.
    const bool five = std::llround(m_y->max() / std::pow(10.0, std::floor(std::log10(m_y->max())))) == 5;
    m_y->setTickCount(five ? 6 : 3);
    m_y->setLabelFormat(m_y->max() < 2 ? QStringLiteral("%.1f") : QStringLiteral("%.0f"));
    m_plot->setGaps(gaps);
    m_plot->setVoid(empty, emptySentence);
    QStringList spoken;
    for (std::size_t at = 0; at < m_last.size(); ++at)
        spoken << QStringLiteral("%1 %2").arg(m_look.series[at].name, valueText(m_last[at]));
    setAccessibleDescription(spoken.join(QStringLiteral(", ")));
    update();
}

void TimeChart::stack(std::vector<QList<QPointF>>& series)
{
    for (std::size_t at = 1; at < series.size(); ++at) {
        const qsizetype points = std::min(series[at].size(), series[at - 1].size());
        for (qsizetype point = 0; point < points; ++point)
            series[at][point].ry() += series[at - 1][point].y();
    }
    QList<QPointF> ground;
    if (!series.empty() && !series.front().isEmpty())
        ground = {{series.front().first().x(), 0}, {series.front().last().x(), 0}};
    m_floor->replace(ground);
}

QString TimeChart::valueText(double value) const
{
    return formatDecimal(value, m_look.digits) + m_look.unit;
}

void TimeChart::resizeEvent(QResizeEvent* event)
{
    QFrame::resizeEvent(event);
    place();
}

void TimeChart::place()
{
    m_plot->setGeometry(rect().adjusted(4, kHeader + kLegendLine, -kSpace + 2, -4));
}

void TimeChart::paintEvent(QPaintEvent*)
{
    QPainter painter(this);
    const Theme& theme = m_theme.theme();
    paintCard(painter, rect(), theme);
    painter.setFont(scaled(font(), 1.0, true));
    painter.setPen(theme.ink);
    painter.drawText(QRect(kSpace, 6, width() - 2 * kSpace, kHeader - 6), Qt::AlignLeft | Qt::AlignVCenter,
                     m_look.title);
    paintLegend(painter);
}

void TimeChart::paintLegend(QPainter& painter)
{
    const Theme& theme = m_theme.theme();
    painter.setFont(scaled(font(), 0.9));
    const QFontMetrics metrics(painter.font());
    int left = kSpace;
    const int middle = kHeader + kLegendLine / 2 - 2;
    const auto entry = [&](const QString& text, const QPen& pen) {
        const int wanted = 22 + 6 + metrics.horizontalAdvance(text);
        if (left + wanted > width() - kSpace)
            return;
        painter.setPen(pen);
        painter.drawLine(left, middle, left + 22, middle);
        painter.setPen(theme.mutedInk);
        painter.drawText(QRect(left + 28, middle - 10, wanted, 20), Qt::AlignLeft | Qt::AlignVCenter, text);
        left += wanted + 14;
    };
    for (std::size_t at = 0; at < m_look.series.size(); ++at) {
        const SeriesLook& look = m_look.series[at];
        QPen pen(theme.tone(look.tone), m_look.kind == ChartKind::Stacked ? 4 : 2, look.style);
        pen.setCapStyle(Qt::FlatCap);
        entry(look.name + QLatin1Char(' ') + valueText(m_last[at]), pen);
    }
    if (m_gate != nullptr && m_gateValue > 0)
        entry(QStringLiteral("gate %1").arg(valueText(m_gateValue)),
              QPen(theme.tone(Tone::Failed), 1.5, Qt::DashDotLine));
}

} // namespace penstock::gui
