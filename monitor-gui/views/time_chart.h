// SPDX-License-Identifier: GPL-3.0-or-later
// A card with a chart over the last minutes: stacked bands or lines, a gate line, gaps drawn as gaps, a
// legend with the pattern and present value of each series. The only file that knows Qt Charts. GUI thread.
// Each tick replaces the points of a series as a whole: appending rebuilds the path for every point and is
// quadratic. No OpenGL, no animation.
#pragma once

#include "monitor-gui/views/theme_source.h"

#include <QChartView>
#include <QFrame>
#include <QList>
#include <QPair>
#include <QPointF>
#include <vector>

QT_BEGIN_NAMESPACE
class QAreaSeries;
class QLineSeries;
class QValueAxis;
QT_END_NAMESPACE

namespace penstock::gui {

enum class ChartKind : quint8 { Stacked, Lines };

struct SeriesLook {
    QString name;
    Tone tone = Tone::Running;
    Qt::PenStyle style = Qt::SolidLine;
};

struct ChartLook {
    QString title;
    QString unit; // appended to values: " %"
    ChartKind kind = ChartKind::Lines;
    double lowestTop = 1; // the y axis never ends below this
    int digits = 0;       // of values in the legend
    bool hasGate = false;
    std::vector<SeriesLook> series;
};

// The plot itself: the chart, and over it what is missing.
class TimePlot final : public QChartView {
    Q_OBJECT
public:
    TimePlot(const ThemeSource& theme, QWidget* parent);
    void setGaps(QList<QPair<double, double>> gaps);
    void setVoid(bool empty, const QString& sentence);

protected:
    void drawForeground(QPainter* painter, const QRectF& rect) override;

private:
    const ThemeSource& m_theme;
    QList<QPair<double, double>> m_gaps;
    QString m_sentence;
    bool m_empty = true;
};

class TimeChart final : public QFrame {
    Q_OBJECT
public:
    TimeChart(ChartLook look, const ThemeSource& theme, QWidget* parent = nullptr);

    // One list of points for each series of the look; gate 0: none now. An empty first list shows the
    // sentence.
    void show(std::vector<QList<QPointF>> series, const QList<QPair<double, double>>& gaps, double gate,
              const QString& emptySentence);
    void setMinutes(double minutes);

    [[nodiscard]] QSize sizeHint() const override { return {360, 220}; }
    [[nodiscard]] QSize minimumSizeHint() const override { return {220, 140}; }

protected:
    void paintEvent(QPaintEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

private:
    void build();
    void recolour();
    void place();
    void stack(std::vector<QList<QPointF>>& series);
    void paintLegend(class QPainter& painter);
    [[nodiscard]] QString valueText(double value) const;

    ChartLook m_look;
    const ThemeSource& m_theme;
    TimePlot* m_plot;
    QValueAxis* m_x;
    QValueAxis* m_y;
    std::vector<QLineSeries*> m_lines; // upper edges when stacked
    std::vector<QAreaSeries*> m_areas;
    QLineSeries* m_floor = nullptr;
    QLineSeries* m_gate = nullptr;
    std::vector<double> m_last;
    double m_gateValue = 0;
    double m_minutes = 15;
    int m_shrinkTicks = 0; // how long the y axis could have been shorter
};

} // namespace penstock::gui
