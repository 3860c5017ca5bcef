// SPDX-License-Identifier: GPL-3.0-or-later
// Shows a LogBuffer and follows its end: only the visible lines are drawn. Standard error is told from
// standard output by a bar and the word "err" as well as by colour; the farm's own remarks are in italics.
// Any upward move stops following, End or f starts it again. Lines are selected by mouse and copied with
// Ctrl+C. GUI thread.
#pragma once

#include "monitor-gui/replica/log_buffer.h"
#include "monitor-gui/views/theme_source.h"

#include <optional>
#include <QAbstractScrollArea>

namespace penstock::gui {

class LogView final : public QAbstractScrollArea {
    Q_OBJECT
public:
    LogView(const LogBuffer& buffer, const ThemeSource& theme, QWidget* parent = nullptr);

    // The buffer has changed, or is another log.
    void refresh();
    void setEmptySentence(const QString& sentence);
    [[nodiscard]] bool following() const { return m_following; }
    void setFollowing(bool following);

Q_SIGNALS:
    void followingChanged();

protected:
    void paintEvent(QPaintEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;

private:
    void layoutBars();
    void scrolled();
    void paintLine(class QPainter& painter, const LogLine& line, std::uint64_t number, int top);
    void paintPill(class QPainter& painter);
    [[nodiscard]] QRect pillBox() const;
    [[nodiscard]] int lineHeight() const;
    [[nodiscard]] int visibleLines() const;
    [[nodiscard]] std::uint64_t lineAt(int y) const; // counted from the log's start
    void copy() const;

    const LogBuffer& m_buffer;
    const ThemeSource& m_theme;
    QString m_sentence;
    bool m_following = true;
    std::uint64_t m_seenEnd = 0; // lines there were when following stopped
    std::uint64_t m_firstShown = 0;
    std::optional<std::pair<std::uint64_t, std::uint64_t>>
        m_selected; // first and last line, in the order made
};

} // namespace penstock::gui
