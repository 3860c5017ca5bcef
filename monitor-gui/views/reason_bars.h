// SPDX-License-Identifier: GPL-3.0-or-later
// "Why 1,240 steps wait": one bar for each binding reason, the biggest first. GUI thread.
#pragma once

#include "monitor-gui/replica/records.h"
#include "monitor-gui/views/theme_source.h"

#include <QWidget>

namespace penstock::gui {

class ReasonBars final : public QWidget {
    Q_OBJECT
public:
    explicit ReasonBars(const ThemeSource& theme, QWidget* parent = nullptr);

    void show(const FarmTotals& totals, bool filled);
    [[nodiscard]] QSize sizeHint() const override { return {360, 240}; }
    [[nodiscard]] QSize minimumSizeHint() const override { return {200, 120}; }

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    const ThemeSource& m_theme;
    QString m_title;
    QString m_sentence; // instead of bars
    std::vector<ReasonCount> m_reasons;
};

} // namespace penstock::gui
