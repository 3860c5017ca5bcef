// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/commands/table.h"

namespace penstock::client {

namespace {

// These three are answered from the table itself, without a server (client/app/command_line).
Command completionCommand()
{
    return {{"completion", "print a completion script for a shell", {}, {{"SHELL", "bash, zsh or fish"}}},
            "",
            {"penstock completion bash > /etc/bash_completion.d/penstock",
             "penstock completion zsh > ~/.zfunc/_penstock",
             "penstock completion fish > ~/.config/fish/completions/penstock.fish"}};
}
Command helpCommand()
{
    return {
        {"help", "explain a command, or list them all", {}, {{"COMMAND", "the command to explain", false}}},
        "",
        {"penstock help run"}};
}
Command manualCommand()
{
    return {
        {"manual", "print the manual page penstock(1) in roff", {}, {}}, "", {"penstock manual | man -l -"}};
}

} // namespace

CommandTable commandTable()
{
    return {runCommand(),      submitCommand(),     buildCommand(),  jobsCommand(),   jobCommand(),
            runsCommand(),     stepsCommand(),      logsCommand(),   cancelCommand(), retryCommand(),
            bumpCommand(),     holdCommand(),       releaseCommand(), whyCommand(),   queueCommand(),
            machinesCommand(), machineCommand(),    drainCommand(),  undrainCommand(), pauseCommand(),
            resumeCommand(),   namespaceCommand(),  statusCommand(), tokenCommand(),  machinesFileCommand(),
            completionCommand(), helpCommand(),     manualCommand()};
}

} // namespace penstock::client
