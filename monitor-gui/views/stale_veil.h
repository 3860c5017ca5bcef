// SPDX-License-Identifier: GPL-3.0-or-later
// Lies over a page while what it shows is not of the present: hatching on the whole canvas. It never hides
// anything and lets all clicks through. GUI thread.
#pragma once

#include "monitor-gui/views/theme_source.h"

#include <QWidget>

namespace penstock::gui {

class StaleVeil final : public QWidget {
    Q_OBJECT
public:
    StaleVeil(const ThemeSource& theme, QWidget& covered);

protected:
    void paintEvent(QPaintEvent* event) override;
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    const ThemeSource& m_theme;
};

// The sentence above the page: since when, and why.
class Banner final : public QWidget {
    Q_OBJECT
public:
    explicit Banner(const ThemeSource& theme, QWidget* parent = nullptr);
    // Empty hides it.
    void show(const QString& sentence);

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    const ThemeSource& m_theme;
    QString m_sentence;
};

} // namespace penstock::gui
