// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/app/program.h"
#include "client/commands/table.h"

int main(int argc, char** argv)
{
    return penstock::client::runProgram(penstock::client::commandTable(), argc, argv);
}
