// SPDX-License-Identifier: GPL-3.0-or-later
// One application object for the tests of a program that need an event loop, without a display.
#pragma once

#include <QApplication>

namespace penstock::gui::test {

// Never deleted: it ends with the process.
inline void ensureApplication()
{
    static int argumentCount = 1;
    static char name[] = "test";
    static char* arguments[] = {name, nullptr};
    if (QCoreApplication::instance() != nullptr)
        return;
    qputenv("QT_QPA_PLATFORM", "offscreen");
    [[maybe_unused]] static const QApplication* application = new QApplication(argumentCount, arguments);
}

} // namespace penstock::gui::test
