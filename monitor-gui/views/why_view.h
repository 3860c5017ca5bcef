// SPDX-License-Identifier: GPL-3.0-or-later
// "Why is this step not running?", drawn: a sentence and the next event, the funnel of machines as bars, all reasons
// with numbers and remedy. Scrolls; Ctrl+C copies all of it as text, which is also its accessible description. GUI
// thread.
#pragma once

#include "monitor-gui/models/why_page.h"
#include "monitor-gui/views/theme_source.h"

#include <QAbstractScrollArea>

namespace penstock::gui {

class WhyView final : public QAbstractScrollArea {
    Q_OBJECT
public:
    explicit WhyView(const ThemeSource& theme, QWidget* parent = nullptr);

    void show(WhyPage page);
    [[nodiscard]] const WhyPage& page() const { return m_page; }
    [[nodiscard]] int contentHeight() const; // at the present width

protected:
    void paintEvent(QPaintEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;

private:
    void layoutBar();

    const ThemeSource& m_theme;
    WhyPage m_page;
};

} // namespace penstock::gui
