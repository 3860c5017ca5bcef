// SPDX-License-Identifier: GPL-3.0-or-later
// What a cell says beside its text: meaning, not colour. Views turn a tone into palette colour and glyph.
#pragma once

#include <QMetaType>
#include <QString>
#include <QtGlobal>

namespace penstock::gui {

// The six states of the palette, and three that are none: Held is drawn in the colour of Failed, as bars past their
// gate are, with a glyph of its own.
enum class Tone : quint8 { Plain, Running, Ready, Blocked, Succeeded, Failed, Cancelled, Lost, Held };

// A value drawn as a bar with its text; fractions are of the bar's full length.
struct CellBar {
    double fraction = 0;
    double gate = 0; // where the scheduler's gate stands; 0: none
    bool pastGate = false;
    int segments = 0; // above 0: that many equal parts, for slots
    Tone tone = Tone::Running;
};

// Of one bar whose parts are told apart by tone: running, ready, blocked.
struct CellParts {
    double running = 0;
    double ready = 0;
    double blocked = 0;
};

enum CellRole : int {
    kToneRole = Qt::UserRole + 1, // Tone as int; present: a glyph is drawn
    kBarRole,                     // CellBar
    kPartsRole,                   // CellParts
    kFreshnessRole,               // Freshness as int
    kIdRole,                      // the record's number as quint64
};

} // namespace penstock::gui

Q_DECLARE_METATYPE(penstock::gui::CellBar)
Q_DECLARE_METATYPE(penstock::gui::CellParts)
