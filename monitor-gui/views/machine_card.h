// SPDX-License-Identifier: GPL-3.0-or-later
// One machine: whether it takes work and why not, its facts as lines of label and value, what is reserved, each gate
// with its value, and its running steps. A click opens a step's job. GUI thread.
#pragma once

#include "monitor-gui/models/live_farm.h"
#include "monitor-gui/views/theme_source.h"

#include <QWidget>

namespace penstock::gui {

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
    void paintGates(class QPainter& painter);
    void paintSteps(class QPainter& painter);
    [[nodiscard]] QString roomSentence() const;
    [[nodiscard]] bool hasIdentity() const;
    [[nodiscard]] int gatesLeft() const;
    [[nodiscard]] int stepsLeft() const;
    [[nodiscard]] QRect stepBox(std::size_t place) const;

    const LiveFarm& m_farm;
    const ThemeSource& m_theme;
    MachinePtr m_machine;
};

} // namespace penstock::gui
