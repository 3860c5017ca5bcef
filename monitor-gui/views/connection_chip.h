// SPDX-License-Identifier: GPL-3.0-or-later
// The state of the connection as a coloured pill with glyph and words; a click reconnects. GUI thread.
#pragma once

#include "monitor-gui/replica/link_status.h"
#include "monitor-gui/views/theme_source.h"

#include <QAbstractButton>

namespace penstock::gui {

class ConnectionChip final : public QAbstractButton {
    Q_OBJECT
public:
    explicit ConnectionChip(const ThemeSource& theme, QWidget* parent = nullptr);

    void show(const Chip& chip, const QString& detail);

    [[nodiscard]] QSize sizeHint() const override;

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    const ThemeSource& m_theme;
    Chip m_chip;
};

} // namespace penstock::gui
