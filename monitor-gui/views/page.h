// SPDX-License-Identifier: GPL-3.0-or-later
// What each page of the window is to the frame around it. GUI thread.
#pragma once

#include "monitor-gui/models/live_farm.h"
#include "monitor-gui/views/theme_source.h"

#include <QLineEdit>
#include <QWidget>

namespace penstock::gui {

enum class PageId : quint8 { Overview, Queue, Machines, Job };
inline constexpr int kPages = 4;

class Page : public QWidget {
    Q_OBJECT
public:
    using QWidget::QWidget;
    // Ctrl+K: put the cursor where one finds things on this page.
    virtual void find() = 0;
    // y: why what is selected does not run; again: enough of it.
    virtual void why() {}
    // A part of the page by its name: shares, log, why. False: it has none of that name.
    virtual bool openTab(const QString&) { return false; }
    // The page is on the screen now; hidden pages do not draw charts.
    virtual void shown() {}
};

// A rounded panel with a title, an optional remark, a filter field and one widget that fills it.
class Panel final : public QWidget {
    Q_OBJECT
public:
    Panel(const QString& title, QWidget* body, const ThemeSource& theme, QWidget* parent = nullptr);

    void setTitle(const QString& title);
    void setRemark(const QString& remark);
    // Made at the first call; its text goes to whoever connects.
    QLineEdit& filterField(const QString& hint);
    // Stands at the right end of the head, before the filter.
    void setCorner(QWidget* corner);

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    const ThemeSource& m_theme;
    QString m_title;
    QString m_remark;
    QLineEdit* m_filter = nullptr;
    QWidget* m_corner = nullptr;
};

} // namespace penstock::gui
