// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/derivation_files.h"

#include "server/jobs/input_paths.h"
#include "shared/protocol/limits.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace penstock::app {
namespace {

constexpr std::size_t kOutputsKept = 48U << 20U; // bytes: of some 300,000 derivations

class Descriptor {
public:
    explicit Descriptor(const std::string& file) : m_number(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {}
    ~Descriptor()
    {
        if (m_number >= 0)
            ::close(m_number);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const { return m_number; }

private:
    int m_number;
};

tl::unexpected<Error> failedTo(const char* verb, const std::string& file, int error)
{
    const std::string text = fmt::format("{} cannot be {}: {}", file, verb, std::strerror(error));
    if (error == ENOENT || error == ENOTDIR)
        return fail(ErrorCode::NotFound, text + "; it was removed from the store, so instantiate it again");
    if (error == EACCES || error == EPERM)
        return fail(ErrorCode::Denied, text + "; let the server's user read the Nix store");
    const bool isPassing = error == EMFILE || error == ENFILE || error == ENOMEM || error == ESTALE;
    return fail(isPassing ? ErrorCode::Unavailable : ErrorCode::Internal, text);
}

Result<std::string> readWhole(const std::string& file, std::size_t maxBytes)
{
    const Descriptor descriptor(file);
    if (descriptor.get() < 0)
        return failedTo("opened", file, errno);
    struct stat facts = {};
    if (::fstat(descriptor.get(), &facts) != 0)
        return failedTo("read", file, errno);
    if (!S_ISREG(facts.st_mode))
        return fail(ErrorCode::Corrupt, fmt::format("{} is no file", file));
    const auto size = static_cast<std::size_t>(facts.st_size);
    if (size > maxBytes)
        return fail(ErrorCode::Corrupt, fmt::format("{} has {} bytes, more than the limit of {}", file, size,
                                                    maxBytes));
    std::string text(size, '\0');
    std::size_t have = 0;
    while (have < size) {
        const auto got = ::read(descriptor.get(), text.data() + have, size - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failedTo("read", file, errno);
        if (got == 0)
            break;
        have += static_cast<std::size_t>(got);
    }
    text.resize(have);
    return text;
}

// The bytes were read: what is wrong with them stays wrong.
tl::unexpected<Error> corrupt(Error error)
{
    return fail(ErrorCode::Corrupt, std::move(error.message));
}

} // namespace

std::size_t DerivationText::bytes() const
{
    std::size_t bytes = sizeof(DerivationText) + drv.size();
    for (const std::string& path : inputPaths)
        bytes += sizeof(std::string) + path.size();
    return bytes;
}

DerivationFiles::DerivationFiles(nix::StoreDir dir, std::string realDir)
    : m_dir(std::move(dir)), m_realDir(std::move(realDir)), m_outputs(kOutputsKept)
{
}

Result<DerivationFiles::Parsed> DerivationFiles::parse(const nix::StorePath& path, std::size_t maxBytes) const
{
    const std::string file = fmt::format("{}/{}", m_realDir, path.baseName());
    PENSTOCK_TRY(auto text, readWhole(file, maxBytes));
    auto drv = nix::parseDerivationAt(m_dir, path, text);
    if (!drv)
        return corrupt(std::move(drv).error().in(file));
    return Parsed{std::move(text), *std::move(drv)};
}

Result<std::shared_ptr<const DerivationFiles::Outputs>> DerivationFiles::outputsOf(const nix::StorePath& path)
{
    {
        const MutexLock lock(m_mutex);
        if (auto known = m_outputs.find(path.baseName()))
            return known;
    }
    PENSTOCK_TRY(const auto parsed, parse(path, nix::kMaxDerivationBytes));
    return keepOutputs(path, parsed.drv);
}

std::shared_ptr<const DerivationFiles::Outputs> DerivationFiles::keepOutputs(const nix::StorePath& path,
                                                                             const nix::Derivation& drv)
{
    auto outputs = std::make_shared<const Outputs>(jobs::statedOutputs(m_dir, drv));
    std::size_t bytes = 0;
    for (const work::NixOutput& output : *outputs)
        bytes += sizeof(work::NixOutput) + output.path.size();
    const MutexLock lock(m_mutex);
    m_outputs.put(path.baseName(), outputs, bytes);
    return outputs;
}

Result<DerivationText> DerivationFiles::read(const std::string& drvPath)
{
    auto path = nix::StorePath::parse(m_dir, drvPath);
    if (!path)
        return corrupt(std::move(path).error().in(drvPath));
    PENSTOCK_TRY(auto parsed, parse(*path, protocol::kMaxDrvBytes));
    static_cast<void>(keepOutputs(*path, parsed.drv)); // what needs it comes later
    std::shared_ptr<const Outputs> held;
    std::optional<Error> unread;
    const auto find = [&](const nix::StorePath& input) -> Result<const Outputs*> {
        auto outputs = outputsOf(input);
        if (!outputs) {
            unread = std::move(outputs).error().in(fmt::format("an input of {}", drvPath));
            return fail(*unread);
        }
        held = *std::move(outputs);
        return held.get();
    };
    auto inputs = jobs::inputPaths(m_dir, *path, parsed.drv, find);
    if (unread)
        return fail(*std::move(unread));
    if (!inputs)
        return corrupt(std::move(inputs).error());
    return DerivationText{std::move(parsed.text), *std::move(inputs)};
}

} // namespace penstock::app
