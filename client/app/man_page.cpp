// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/app/man_page.h"

#include <fmt/format.h>

namespace penstock::client {

namespace {

constexpr std::string_view kEnd = R"(.SH EXIT STATUS
.TP
.B 0
fine; for \fBrun\fR, the job ended with exit code 0
.TP
.B 1
failed: the job or build failed, the server refused, or there is no such id
.TP
.B 2
wrong usage or configuration
.PP
.B penstock run
exits with the job's own exit code, and otherwise with
.TP
.B 124
the job's time limit ended it, as with \fBtimeout\fR(1)
.TP
.B 125
the farm failed, not the job: the server cannot be reached, no machine can run it, or machines were lost too often
.TP
.B 128+N
signal N ended the job
.TP
.B 130, 143
the job was cancelled: by Ctrl-C here or by somebody elsewhere (130), or by SIGTERM to penstock (143)
.TP
.B 129
penstock got SIGHUP, the job goes on
.TP
.B 141
nobody reads penstock's standard output any more; \fBrun\fR cancels the job first
.SH SIGNALS
While a job is followed on a terminal, Ctrl-C asks whether to detach from the job or to cancel it; a second Ctrl-C
cancels. Without a terminal SIGINT cancels. SIGTERM cancels, SIGHUP detaches.
.SH ENVIRONMENT
Each global flag has a variable: \fB--token-file\fR is \fBPENSTOCK_TOKEN_FILE\fR. Order: flag, environment, file,
default.
.TP
.B NO_COLOR
when set and not empty: no colours
.SH FILES
.TP
.I ~/.config/penstock/client.toml
global flags as keys, e.g. \fIserver = "wss://farm.example"\fR; after it
.I /etc/penstock/client.toml
.SH SEE ALSO
\fBpenstock-server\fR(1), \fBpenstock-builder\fR(1), \fBpenstock-monitor\fR(1)
)";

// Backslashes, leading dots and dashes of flags as roff wants them.
std::string roff(std::string_view text)
{
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        const bool lineStart = at == 0 || text[at - 1] == '\n';
        if (c == '\\')
            out += "\\e";
        else if (c == '-')
            out += "\\-";
        else if (lineStart && (c == '.' || c == '\''))
            out += fmt::format("\\&{}", c);
        else
            out.push_back(c);
    }
    return out;
}

void addOptions(std::string& out, const std::vector<config::OptionSpec>& options)
{
    for (const auto& option : options) {
        out += ".TP\n";
        if (option.letter != 0)
            out += fmt::format("\\fB\\-{}\\fR, ", option.letter);
        out += fmt::format("\\fB\\-\\-{}\\fR", roff(option.name));
        if (option.kind != config::Kind::Flag)
            out += fmt::format(" \\fI{}\\fR", roff(option.valueName.empty() ? "VALUE" : option.valueName));
        out += "\n" + roff(option.help);
        if (option.repeatable)
            out += " (may be repeated)";
        const auto& fallback = option.fallbackNote.empty() ? option.fallback : option.fallbackNote;
        if (!fallback.empty())
            out += fmt::format("; default {}", roff(fallback));
        out += "\n";
    }
}

void addCommand(std::string& out, const Command& command)
{
    out += fmt::format(".SS penstock {}", command.spec.name);
    if (!command.spec.options.empty())
        out += " [OPTIONS]";
    if (command.spec.name == "run")
        out += " \\-\\- CMD [ARG...]";
    for (const auto& argument : command.spec.arguments) {
        const std::string name = argument.name + (argument.repeatable ? "..." : "");
        out += argument.required ? " " + name : fmt::format(" [{}]", name);
    }
    out += fmt::format("\n{}.\n", roff(command.spec.help));
    if (!command.details.empty())
        out += fmt::format(".PP\n{}\n", roff(command.details));
    addOptions(out, command.spec.options);
    if (command.examples.empty())
        return;
    out += ".PP\n.nf\n.RS\n";
    for (const auto& example : command.examples)
        out += roff(example) + "\n";
    out += ".RE\n.fi\n";
}

} // namespace

std::string manualPage(const CommandTable& commands, const config::ProgramSpec& program)
{
    std::string out = ".\\\" Made by `penstock manual`; a test keeps it so.\n.TH PENSTOCK 1 \"\" "
                      "\"Penstock\" \"User Commands\"\n"
                      ".SH NAME\npenstock \\- run jobs and Nix builds on a farm\n.SH SYNOPSIS\n"
                      ".B penstock\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]\n.SH DESCRIPTION\n";
    out += roff(program.summary) + "\n.SH OPTIONS\nThese may stand before or after the command.\n";
    addOptions(out, program.options);
    addOptions(out, config::commonOptions());
    out += ".SH COMMANDS\n";
    for (const auto& command : commands)
        addCommand(out, command);
    return out.append(kEnd);
}

} // namespace penstock::client
