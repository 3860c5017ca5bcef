// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/check.h"

#include <gtest/gtest.h>

int main(int argc, char** argv)
{
    ::testing::InitGoogleTest(&argc, argv);
    penstock::setBugsFatal(true);
    return RUN_ALL_TESTS();
}
