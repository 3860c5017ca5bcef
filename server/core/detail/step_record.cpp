// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/core/detail/step_record.h"

#include "server/work/packed_path.h"
#include "server/work/step.h"
#include "shared/base/check.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <tuple>

namespace penstock::core::detail {
namespace {

constexpr std::string_view kUsualStore = "/nix/store";
constexpr char kWhole = 'w'; // a path as it is
constexpr char kHash = 'h';  // only its hash: the rest follows from names

// What mostly follows the hash in a derivation's path, and in those of its outputs.
std::string restOfDerivation(const std::string& name)
{
    return name + ".drv";
}

std::string restOfOutput(const std::string& name, const std::string& output)
{
    return output == "out" ? name : name + "-" + output;
}

// The block: a kind byte, then numbers (32 bit, native) and strings, each with its length in front. It never leaves
// this process, so its form is free.
class Writer {
public:
    void number(std::size_t value)
    {
        PENSTOCK_CHECK(value <= UINT32_MAX);
        const auto small = static_cast<std::uint32_t>(value);
        m_text.append(reinterpret_cast<const char*>(&small), sizeof small);
    }
    void text(std::string_view value)
    {
        number(value.size());
        m_text.append(value);
    }
    void kind(char value) { m_text.push_back(value); }
    // expected: what mostly follows the hash.
    void path(std::string_view value, std::string_view expected)
    {
        const std::optional<work::SplitPath> split = work::splitPath(value);
        if (!split || split->directory != kUsualStore || split->rest != expected) {
            kind(kWhole);
            return text(value);
        }
        kind(kHash);
        m_text.append(reinterpret_cast<const char*>(split->hash.data()), split->hash.size());
    }
    [[nodiscard]] std::unique_ptr<char[]> take() const
    {
        auto bytes = std::make_unique<char[]>(m_text.size());
        std::memcpy(bytes.get(), m_text.data(), m_text.size());
        return bytes;
    }

private:
    std::string m_text;
};

class Reader {
public:
    explicit Reader(const char* at) : m_at(at) {}
    [[nodiscard]] char kind() { return *m_at++; }
    [[nodiscard]] std::uint32_t number()
    {
        std::uint32_t value = 0;
        std::memcpy(&value, m_at, sizeof value);
        m_at += sizeof value;
        return value;
    }
    [[nodiscard]] std::string path(std::string_view expected)
    {
        if (kind() == kWhole)
            return text();
        work::PathHash hash;
        std::memcpy(hash.data(), m_at, hash.size());
        m_at += hash.size();
        std::string value(kUsualStore);
        value.append("/").append(work::unpackHash(hash)).append("-").append(expected);
        return value;
    }
    [[nodiscard]] std::string text()
    {
        const std::uint32_t size = number();
        std::string value(m_at, size);
        m_at += size;
        return value;
    }

private:
    const char* m_at;
};

constexpr char kCommand = 'c';
constexpr char kNix = 'n';

void write(Writer& out, const std::string&, const work::CommandWork& command)
{
    out.number(command.argv.size());
    for (const std::string& word : command.argv)
        out.text(word);
    out.number(command.env.size());
    for (const auto& [name, value] : command.env) {
        out.text(name);
        out.text(value);
    }
}

void write(Writer& out, const std::string& step, const work::NixWork& nix)
{
    out.path(nix.drvPath, restOfDerivation(step));
    out.number(nix.outputs.size());
    for (const work::NixOutput& output : nix.outputs) {
        out.text(output.name);
        out.path(output.path, restOfOutput(step, output.name));
    }
}

work::CommandWork readCommand(Reader& in)
{
    work::CommandWork command;
    const std::uint32_t words = in.number();
    command.argv.reserve(words);
    for (std::uint32_t i = 0; i < words; ++i)
        command.argv.push_back(in.text());
    for (std::uint32_t left = in.number(); left > 0; --left) {
        std::string name = in.text();
        command.env.emplace(std::move(name), in.text());
    }
    return command;
}

work::NixWork readNix(Reader& in, const std::string& step)
{
    work::NixWork nix;
    nix.drvPath = in.path(restOfDerivation(step));
    for (std::uint32_t left = in.number(); left > 0; --left) {
        std::string name = in.text();
        std::string path = in.path(restOfOutput(step, name));
        nix.outputs.push_back({std::move(name), std::move(path)});
    }
    return nix;
}

bool hasUnknownOutput(const work::Work& work)
{
    const auto* nix = std::get_if<work::NixWork>(&work);
    return nix != nullptr && std::any_of(nix->outputs.begin(), nix->outputs.end(),
                                         [](const work::NixOutput& output) { return output.path.empty(); });
}

auto tieOf(const StepPolicy& policy)
{
    return std::tie(policy.retry.retries, policy.retry.initial, policy.retry.factor, policy.retry.max,
                    policy.retry.jitterPercent, policy.resources);
}

} // namespace

bool operator<(const StepPolicy& a, const StepPolicy& b)
{
    return tieOf(a) < tieOf(b);
}

StepPolicy policyOf(const work::StepSpec& spec)
{
    return {spec.retry, spec.resources};
}

PackedWork::PackedWork(const std::string& name, const work::Work& work)
{
    Writer out;
    out.kind(std::holds_alternative<work::CommandWork>(work) ? kCommand : kNix);
    out.text(name);
    std::visit([&](const auto& kind) { write(out, name, kind); }, work);
    m_bytes = out.take();
}

std::string PackedWork::name() const
{
    Reader in(m_bytes.get());
    static_cast<void>(in.kind());
    return in.text();
}

work::Work PackedWork::work() const
{
    Reader in(m_bytes.get());
    const char kind = in.kind();
    const std::string name = in.text();
    if (kind == kCommand)
        return readCommand(in);
    return readNix(in, name);
}

std::string PackedWork::sharingKey() const
{
    Reader in(m_bytes.get());
    if (in.kind() == kCommand)
        return {};
    return in.path(restOfDerivation(in.text())); // it comes first
}

StepRecord::StepRecord(const work::StepSpec& spec, WallTime at, const work::StepProgress& start)
    : work(spec.name, *spec.work), created(at), revealsPaths(hasUnknownOutput(*spec.work))
{
    setProgress(start);
}

work::StepProgress StepRecord::progress() const
{
    if (m_rare != nullptr)
        return m_rare->progress;
    work::StepProgress progress;
    progress.state = m_state;
    if (m_readySince != kNever)
        progress.readySince = WallTime::fromMicros(m_readySince);
    return progress;
}

void StepRecord::setProgress(work::StepProgress progress)
{
    m_state = progress.state;
    m_readySince = progress.readySince ? progress.readySince->micros() : kNever;
    if (m_rare == nullptr) {
        work::StepProgress plain;
        plain.state = progress.state;
        plain.readySince = progress.readySince;
        if (plain == progress)
            return;
        m_rare = std::make_unique<Rare>();
    }
    m_rare->progress = std::move(progress);
}

std::optional<work::StepResult> StepRecord::result() const
{
    return m_rare == nullptr ? std::nullopt : m_rare->progress.result;
}

std::optional<WallTime> StepRecord::readySince() const
{
    return m_readySince == kNever ? std::nullopt : std::optional(WallTime::fromMicros(m_readySince));
}

std::vector<MachineId> StepRecord::avoided() const
{
    if (m_rare == nullptr)
        return {};
    std::vector<MachineId> machines = m_rare->progress.avoid;
    for (const auto& [machine, until] : m_rare->shunned)
        machines.push_back(machine);
    return machines;
}

StepRecord::Rare& StepRecord::rare()
{
    if (m_rare == nullptr) {
        auto made = std::make_unique<Rare>();
        made->progress = progress();
        m_rare = std::move(made);
    }
    return *m_rare;
}

void StepRecord::setRetryDue(Instant due)
{
    rare().retryDue = due;
}

void StepRecord::shun(MachineId machine, Instant until)
{
    static_cast<void>(rare());
    std::erase_if(m_rare->shunned, [machine](const auto& entry) { return entry.first == machine; });
    m_rare->shunned.emplace_back(machine, until);
    if (m_rare->shunned.size() > work::kMaxAvoided)
        m_rare->shunned.erase(m_rare->shunned.begin());
    ++m_rare->rejections;
}

void StepRecord::forgetShunned(Instant now)
{
    if (m_rare != nullptr)
        std::erase_if(m_rare->shunned, [now](const auto& entry) { return entry.second <= now; });
}

} // namespace penstock::core::detail
