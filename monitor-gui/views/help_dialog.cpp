// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/help_dialog.h"

#include <QDialogButtonBox>
#include <QLabel>
#include <QVBoxLayout>

namespace penstock::gui {

HelpDialog::HelpDialog(QWidget* parent) : QDialog(parent)
{
    setWindowTitle(QStringLiteral("Keys and looks"));
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(24, 20, 24, 16);
    auto* text = new QLabel(this);
    text->setTextFormat(Qt::RichText);
    text->setWordWrap(true);
    text->setMinimumWidth(480);
    text->setText(QStringLiteral(
        "<h3>Keys</h3><table cellpadding='3'>"
        "<tr><td><b>1 2 3 4</b></td><td>Overview, Queue, Machines, Jobs (also with Ctrl)</td></tr>"
        "<tr><td><b>Ctrl+K</b>, <b>Ctrl+F</b></td><td>find on this page; Esc clears</td></tr>"
        "<tr><td><b>Y</b></td><td>on Queue and Jobs: why what is selected does not run; again: back</td></tr>"
        "<tr><td><b>F5</b></td><td>connect anew</td></tr>"
        "<tr><td><b>T</b></td><td>light or dark</td></tr>"
        "<tr><td><b>j k g G</b></td><td>in a table: next, previous, first, last row</td></tr>"
        "<tr><td><b>F</b>, <b>End</b></td><td>in a log: follow; any move upward stops following</td></tr>"
        "<tr><td><b>Ctrl+C</b></td><td>in a log: copy the selected lines; in why: copy all of it</td></tr>"
        "<tr><td><b>F1</b>, <b>?</b></td><td>this help</td></tr></table>"
        "<h3>Looks</h3>"
        "<p>Hatched and pale: not of the present; the banner says since when. A dotted ring: a machine "
        "without contact. "
        "A long dash: not known. A tick across a bar: the gate above which the scheduler starts nothing "
        "there; beyond it "
        "the bar is outlined. A circle struck through: quarantined, or stopped by a person. "
        "An arrow through a line: past a "
        "gate. A hatched stretch in a chart: nothing was received then.</p>"));
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close, this);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    layout->addWidget(text);
    layout->addWidget(buttons);
}

} // namespace penstock::gui
