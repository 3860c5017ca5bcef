// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/build/local_nix.h"

#include "shared/base/text.h"

#include <fmt/format.h>
#include <QProcess>
#include <QStringList>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::client {

namespace {

struct Output {
    std::string out;
    std::string err;
};

Result<Output> runNix(const char* program, const std::vector<std::string>& arguments)
{
    QStringList list;
    for (const auto& argument : arguments)
        list.append(QString::fromStdString(argument));
    QProcess process;
    process.start(QLatin1String(program), list, QIODevice::ReadOnly);
    if (!process.waitForStarted(-1))
        return fail(
            ErrorCode::Unavailable,
            fmt::format("cannot run {}: {}; `penstock build` needs nix on this machine (apt install nix-bin)",
                        program, process.errorString().toStdString()));
    process.waitForFinished(-1);
    Output output{process.readAllStandardOutput().toStdString(),
                  process.readAllStandardError().toStdString()};
    if (process.exitStatus() != QProcess::NormalExit || process.exitCode() != 0)
        return fail(ErrorCode::Invalid, fmt::format("{} failed:\n{}", program, trim(output.err)));
    return output;
}

std::vector<std::string> lines(std::string_view text)
{
    std::vector<std::string> out;
    for (const auto line : split(text, '\n'))
        if (!trim(line).empty())
            out.emplace_back(trim(line));
    return out;
}

// Nix warns each time that the derivation has no root; the farm gets its text, so that does not matter here.
std::string withoutRootWarning(std::string_view text)
{
    std::string out;
    for (const auto& line : lines(text))
        if (line.find("did not specify '--add-root'") == std::string::npos)
            out += line + "\n";
    return out;
}

bool isDerivation(std::string_view target)
{
    const auto path = target.substr(0, target.find_first_of("!^"));
    return path.ends_with(".drv");
}

Result<void> addRoots(Instantiated& result, const Output& output)
{
    for (const auto& line : lines(output.out))
        result.roots.push_back(parseRoot(line));
    result.notes += withoutRootWarning(output.err);
    return {};
}

Result<void> instantiateFlake(Instantiated& result, const std::string& flake)
{
    PENSTOCK_TRY(const auto output, runNix("nix", {"--extra-experimental-features", "nix-command flakes",
                                                   "path-info", "--derivation", flake}));
    return addRoots(result, output);
}

Result<void> instantiateFile(Instantiated& result, const BuildRequest& request, const std::string& file)
{
    std::vector<std::string> arguments{file};
    for (const auto& attribute : request.attributes) {
        arguments.emplace_back("-A");
        arguments.push_back(attribute);
    }
    arguments.insert(arguments.end(), request.nixOptions.begin(), request.nixOptions.end());
    PENSTOCK_TRY(const auto output, runNix("nix-instantiate", arguments));
    return addRoots(result, output);
}

} // namespace

Root parseRoot(std::string_view line)
{
    const auto mark = line.find_first_of("!^");
    Root root{std::string(line.substr(0, mark)), {}};
    if (mark == std::string_view::npos || line.substr(mark + 1) == "*")
        return root;
    for (const auto output : split(line.substr(mark + 1), ','))
        root.outputs.emplace_back(output);
    return root;
}

Result<Instantiated> instantiate(const BuildRequest& request)
{
    Instantiated result;
    for (const auto& target : request.targets) {
        const bool isFile = ::access(target.c_str(), F_OK) == 0;
        if (isDerivation(target)) {
            auto root = parseRoot(target);
            result.roots.push_back(std::move(root));
        } else if (!isFile && target.find('#') != std::string::npos) {
            PENSTOCK_TRY_VOID(instantiateFlake(result, target));
        } else if (isFile) {
            PENSTOCK_TRY_VOID(instantiateFile(result, request, target));
        } else {
            return fail(ErrorCode::NotFound,
                        fmt::format("no file {}; give a .nix file, a .drv path or FLAKE#ATTR", target));
        }
    }
    if (result.roots.empty())
        return fail(ErrorCode::Invalid, "the expression gave no derivation, so there is nothing to build");
    return result;
}

Result<std::vector<std::string>> localOutputs(const std::string& drv)
{
    PENSTOCK_TRY(const auto output, runNix("nix-store", {"--query", "--outputs", drv}));
    return lines(output.out);
}

Result<void> linkResult(const std::string& link, const std::string& path)
{
    struct stat status {};
    if (::lstat(link.c_str(), &status) == 0 && !S_ISLNK(status.st_mode))
        return fail(ErrorCode::Conflict,
                    fmt::format("{} exists and is not a symbolic link; it is left as it is", link));
    PENSTOCK_TRY(const auto output,
                 runNix("nix-store", {"--realise", path, "--add-root", link, "--indirect"}));
    return {};
}

} // namespace penstock::client
