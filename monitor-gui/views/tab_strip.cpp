// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/tab_strip.h"

#include <algorithm>
#include <QHBoxLayout>
#include <QPushButton>

namespace penstock::gui {

TabStrip::TabStrip(const QStringList& words, const ThemeSource& theme, QWidget* parent)
    : QWidget(parent), m_theme(theme)
{
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(2);
    for (const QString& word : words) {
        auto* button = new QPushButton(word, this);
        button->setAccessibleName(word);
        button->setCheckable(true);
        button->setAutoExclusive(true);
        button->setFixedHeight(26);
        const auto place = static_cast<int>(m_buttons.size());
        connect(button, &QPushButton::clicked, this, [this, place] { Q_EMIT chosenChanged(place); });
        layout->addWidget(button);
        m_buttons.push_back(button);
    }
    m_buttons.first()->setChecked(true);
    connect(&theme, &ThemeSource::changed, this, &TabStrip::recolour);
    recolour();
}

void TabStrip::choose(int place)
{
    if (place == chosen())
        return;
    m_buttons.at(place)->setChecked(true);
    Q_EMIT chosenChanged(place);
}

int TabStrip::chosen() const
{
    const auto found = std::find_if(m_buttons.begin(), m_buttons.end(),
                                    [](const QAbstractButton* button) { return button->isChecked(); });
    return static_cast<int>(found - m_buttons.begin());
}

void TabStrip::recolour()
{
    const Theme& theme = m_theme.theme();
    setStyleSheet(QStringLiteral("QPushButton{padding:0 10px;border:1px solid transparent;border-radius:6px;color:%1}"
                                 "QPushButton:hover{background:%2}"
                                 "QPushButton:focus{border-color:%3}"
                                 "QPushButton:checked{background:%4;color:%5}")
                      .arg(theme.mutedInk.name(), theme.track.name(), theme.tone(Tone::Running).name(),
                           theme.selection.name(), theme.ink.name()));
}

} // namespace penstock::gui
