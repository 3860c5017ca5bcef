// SPDX-License-Identifier: GPL-3.0-or-later
// Page 3: the machines, their slots, load and pressure against their own gates; beside it the facts and
// running steps of the selected one. GUI thread.
#pragma once

#include "monitor-gui/models/machines_model.h"
#include "monitor-gui/views/page.h"
#include "monitor-gui/views/record_table.h"

#include <optional>

namespace penstock::gui {

// Facts of one machine, drawn as lines of label and value, then its running steps. A click opens a step's
// job.
class MachineCard final : public QWidget {
    Q_OBJECT
public:
    MachineCard(const LiveFarm& farm, const ThemeSource& theme, QWidget* parent = nullptr);
    void show(MachinePtr machine);

Q_SIGNALS:
    void jobOpened(quint64 job);

protected:
    void paintEvent(QPaintEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;

private:
    void paintFacts(class QPainter& painter);
    void paintSteps(class QPainter& painter);
    [[nodiscard]] QRect stepBox(std::size_t place) const;

    const LiveFarm& m_farm;
    const ThemeSource& m_theme;
    MachinePtr m_machine;
};

class MachinesPage final : public Page {
    Q_OBJECT
public:
    MachinesPage(const LiveFarm& farm, const ThemeSource& theme, QWidget* parent = nullptr);

    void find() override;
    void select(const QString& machine); // by name, as soon as it is known

Q_SIGNALS:
    void jobOpened(quint64 job);

private:
    void refresh();
    void showSelected();

    const LiveFarm& m_farm;
    MachinesModel m_model;
    RecordTable* m_table;
    Panel* m_panel;
    MachineCard* m_card;
    QString m_wanted;
};

} // namespace penstock::gui
