// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/views/theme_source.h"

#include <QApplication>

namespace penstock::gui {

ThemeSource::ThemeSource(ThemeChoice choice) : m_desktop(QApplication::palette()), m_choice(choice)
{
    apply();
}

void ThemeSource::choose(ThemeChoice choice)
{
    m_choice = choice;
    apply();
    Q_EMIT changed();
}

bool ThemeSource::systemIsDark(const QPalette& desktop)
{
    return desktop.color(QPalette::Window).lightness() < desktop.color(QPalette::WindowText).lightness();
}

void ThemeSource::apply()
{
    const bool dark =
        m_choice == ThemeChoice::Dark || (m_choice == ThemeChoice::System && systemIsDark(m_desktop));
    m_theme = dark ? Theme::darkTheme() : Theme::light();
    QPalette palette(m_theme.ink, m_theme.card, m_theme.border, m_theme.border, m_theme.mutedInk, m_theme.ink,
                     m_theme.card, m_theme.card, m_theme.window);
    palette.setColor(QPalette::Highlight, m_theme.selection);
    palette.setColor(QPalette::HighlightedText, m_theme.ink);
    palette.setColor(QPalette::AlternateBase, m_theme.window);
    palette.setColor(QPalette::PlaceholderText, m_theme.mutedInk);
    palette.setColor(QPalette::ToolTipBase, m_theme.card);
    palette.setColor(QPalette::ToolTipText, m_theme.ink);
    palette.setColor(QPalette::Link, m_theme.tone(Tone::Running));
    for (const QPalette::ColorRole role : {QPalette::Text, QPalette::WindowText, QPalette::ButtonText})
        palette.setColor(QPalette::Disabled, role, m_theme.mutedInk);
    QApplication::setPalette(palette);
}

} // namespace penstock::gui
