// SPDX-License-Identifier: GPL-3.0-or-later
// F1: the keys, and what glyphs and looks mean. GUI thread.
#pragma once

#include <QDialog>

namespace penstock::gui {

class HelpDialog final : public QDialog {
    Q_OBJECT
public:
    explicit HelpDialog(QWidget* parent);
};

} // namespace penstock::gui
