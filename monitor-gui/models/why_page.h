// SPDX-License-Identifier: GPL-3.0-or-later
// What the panel "why is this step not running?" says, in the order it says it: a sentence and the next event, the
// funnel of machines, all reasons. Made from the server's answer only; nothing is guessed. Values, any thread.
#pragma once

#include "monitor-gui/models/roles.h"
#include "monitor-gui/replica/job_replica.h"
#include "monitor-gui/replica/why_replica.h"

#include <QString>
#include <QStringList>
#include <vector>

namespace penstock::gui {

struct WhyStage {
    QString words;        // "have its features"
    std::uint32_t left = 0;
    double kept = 0;      // of the machines known, drawn full
    double out = 0;       // taken out by this stage, drawn beside it
    QString lost;         // "28 out"; empty: none
    QStringList removed;  // "birch: has x86_64-linux"
};

struct WhyReason {
    Tone tone = Tone::Plain;
    QString words; // "no free slot"
    QString text;
    QString numbers; // "machines 3, free slots 0"; may be empty
    QString names;   // when the text names none of them
    QString remedy;
};

struct WhyPage {
    QString title;
    Tone tone = Tone::Plain;
    QString sentence;
    QString next;        // the next event
    QStringList facts;   // shown where the server gave no reason
    std::vector<WhyStage> funnel;
    std::vector<WhyReason> reasons;
    QString foot;        // evaluation time, what was left out

    [[nodiscard]] QString plainText() const; // all of it, for the clipboard and those who do not see
};

// job: what is known of the job that is asked about, for names and raw facts.
[[nodiscard]] WhyPage whyPageOf(const WhyReplica& why, const JobReplica& job, WallTime serverNow);

} // namespace penstock::gui
