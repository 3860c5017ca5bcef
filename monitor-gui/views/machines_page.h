// SPDX-License-Identifier: GPL-3.0-or-later
// Page 3: the machines, their slots, load and pressure against their own gates; beside it the facts and
// running steps of the selected one. GUI thread.
#pragma once

#include "monitor-gui/models/machines_model.h"
#include "monitor-gui/views/machine_card.h"
#include "monitor-gui/views/page.h"
#include "monitor-gui/views/record_table.h"

#include <optional>

namespace penstock::gui {

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
