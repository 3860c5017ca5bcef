// SPDX-License-Identifier: GPL-3.0-or-later
// One number of the farm: title, value, a remark, a sparkline of the last minutes. GUI thread.
#pragma once

#include "monitor-gui/views/theme_source.h"

#include <QFrame>
#include <QList>
#include <QPointF>

namespace penstock::gui {

class Tile final : public QFrame {
    Q_OBJECT
public:
    Tile(QString title, Tone tone, const ThemeSource& theme, QWidget* parent = nullptr);

    // outdated: the value is not of the present, and the remark says since when.
    void show(const QString& value, const QString& remark, bool outdated);
    void setTone(Tone tone);
    void setSpark(QList<QPointF> points);

    // Without its sparkline, where height is dear.
    void setCompact(bool compact);

    [[nodiscard]] QSize sizeHint() const override { return {150, heightOf(m_compact)}; }
    [[nodiscard]] QSize minimumSizeHint() const override { return {84, heightOf(m_compact)}; }

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    [[nodiscard]] static int heightOf(bool compact) { return compact ? 80 : 104; }
    void paintSpark(class QPainter& painter, const QRectF& box);

    QString m_title;
    Tone m_tone;
    const ThemeSource& m_theme;
    QString m_value;
    QString m_remark;
    QList<QPointF> m_spark;
    bool m_outdated = false;
    bool m_compact = false;
};

} // namespace penstock::gui
