// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/codec.h"

#include <bit>
#include <cmath>
#include <fmt/core.h>
#include <limits>
#include <map>
#include <utility>

namespace penstock::store::postgres {
namespace {

constexpr std::uint64_t kSpecVersion = 2;    // 1 had limits and no named resources
constexpr std::uint64_t kFormerSpecVersion = 1;
constexpr std::uint64_t kJobSpecVersion = 3; // 1 had no source id, 2 no repeats
constexpr std::uint64_t kFirstJobSpecVersion = 1;
constexpr std::uint64_t kListVersion = 1;
constexpr std::uint64_t kResultsVersion = 2; // 1 had no effort
constexpr std::uint64_t kFormerResultsVersion = 1;
constexpr std::uint64_t kCommand = 0;
constexpr std::uint64_t kNix = 1;
constexpr std::uint64_t kNixWithPlatform = 2; // behind the rest

class Writer {
public:
    void number(std::uint64_t value)
    {
        while (value >= 0x80U) {
            m_bytes.push_back(static_cast<char>(value | 0x80U));
            value >>= 7U;
        }
        m_bytes.push_back(static_cast<char>(value));
    }
    void duration(Duration value) { number(static_cast<std::uint64_t>(value.count())); }
    void text(std::string_view value)
    {
        number(value.size());
        m_bytes.append(value);
    }
    void texts(const std::vector<std::string>& values)
    {
        number(values.size());
        for (const std::string& value : values)
            text(value);
    }
    [[nodiscard]] std::string take() { return std::move(m_bytes); }

private:
    std::string m_bytes;
};

// After the first error everything reads as zero or empty, and finish() tells.
class Reader {
public:
    explicit Reader(std::string_view bytes) : m_left(bytes) {}

    std::uint64_t number()
    {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64 && !m_left.empty(); shift += 7) {
            const auto byte = static_cast<unsigned char>(m_left.front());
            m_left.remove_prefix(1);
            value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
            if ((byte & 0x80U) == 0)
                return value;
        }
        return spoil();
    }
    std::uint32_t small()
    {
        const std::uint64_t value = number();
        return static_cast<std::uint32_t>(value > std::numeric_limits<std::uint32_t>::max() ? spoil() : value);
    }
    Duration duration() { return Duration(static_cast<std::int64_t>(number())); }
    std::string text()
    {
        const std::uint64_t size = number();
        if (size > m_left.size()) {
            spoil();
            return {};
        }
        std::string value(m_left.substr(0, size));
        m_left.remove_prefix(size);
        return value;
    }
    // Each element takes at least one byte, which bounds the allocation.
    std::size_t count()
    {
        const std::uint64_t value = number();
        return value > m_left.size() ? spoil() : value;
    }
    std::vector<std::string> texts()
    {
        std::vector<std::string> values(count());
        for (std::string& value : values)
            value = text();
        return values;
    }
    void skipTexts()
    {
        for (std::size_t left = count(); left > 0; --left) {
            const std::uint64_t size = number();
            if (size > m_left.size()) {
                spoil();
                return;
            }
            m_left.remove_prefix(size);
        }
    }
    void version(std::uint64_t known)
    {
        if (number() != known)
            spoil();
    }
    [[nodiscard]] Result<void> finish(const char* what) const
    {
        if (m_isSpoilt || !m_left.empty())
            return fail(ErrorCode::Corrupt, fmt::format("the stored {} cannot be read; was it written by a newer "
                                                        "Penstock?",
                                                        what));
        return {};
    }
    std::uint64_t spoil()
    {
        m_isSpoilt = true;
        m_left = {};
        return 0;
    }

private:
    std::string_view m_left;
    bool m_isSpoilt = false;
};

void write(Writer& out, const work::CommandWork& work)
{
    out.texts(work.argv);
    out.number(work.env.size());
    for (const auto& [name, value] : work.env) {
        out.text(name);
        out.text(value);
    }
}

void write(Writer& out, const work::NixWork& work)
{
    out.text(work.drvPath);
    out.texts(work.inputPaths);
    out.number(work.outputs.size());
    for (const work::NixOutput& output : work.outputs) {
        out.text(output.name);
        out.text(output.path);
    }
    if (!work.platform.empty())
        out.text(work.platform);
}

std::uint64_t kindOf(const work::Work& work)
{
    const auto* nix = std::get_if<work::NixWork>(&work);
    if (nix == nullptr)
        return kCommand;
    return nix->platform.empty() ? kNix : kNixWithPlatform;
}

work::CommandWork readCommand(Reader& in)
{
    work::CommandWork work;
    work.argv = in.texts();
    for (std::size_t left = in.count(); left > 0; --left) {
        std::string name = in.text();
        work.env.insert_or_assign(std::move(name), in.text());
    }
    return work;
}

work::NixWork readNix(Reader& in, std::string_view drv, Inputs inputs, bool hasPlatform)
{
    work::NixWork work;
    work.drvPath = in.text();
    work.drv = drv;
    if (inputs == Inputs::Read)
        work.inputPaths = in.texts();
    else
        in.skipTexts();
    work.outputs.resize(in.count());
    for (work::NixOutput& output : work.outputs) {
        output.name = in.text();
        output.path = in.text();
    }
    if (hasPlatform)
        work.platform = in.text();
    return work;
}

work::Limits readFormerLimits(Reader& in)
{
    work::Limits limits;
    limits.timeout = in.duration();
    limits.silentTimeout = in.duration();
    limits.maxLogBytes = in.number();
    return limits;
}

void readNamed(Reader& in, std::map<std::string, std::uint64_t>& named)
{
    for (std::size_t left = in.count(); left > 0; --left) {
        std::string name = in.text();
        named.insert_or_assign(std::move(name), in.number());
    }
}

} // namespace

std::string encodeSpec(const work::StepSpec& spec)
{
    Writer out;
    out.number(kSpecVersion);
    const work::Placement& placement = spec.placement;
    out.text(placement.system);
    out.texts(placement.features);
    out.texts(placement.tags);
    out.texts(placement.os);
    out.texts(placement.machines);
    out.text(placement.executor);
    out.text(placement.user);
    out.number(spec.retry.retries);
    out.duration(spec.retry.initial);
    out.number(spec.retry.factor);
    out.duration(spec.retry.max);
    out.number(spec.retry.jitterPercent);
    out.number(spec.resources.cpus);
    out.number(spec.resources.memoryBytes);
    out.number(spec.resources.named.size());
    for (const auto& [name, amount] : spec.resources.named) {
        out.text(name);
        out.number(amount);
    }
    out.number(kindOf(*spec.work));
    std::visit([&out](const auto& work) { write(out, work); }, *spec.work);
    return out.take();
}

Result<StoredSpec> decodeSpec(std::string_view bytes, std::string_view drv, Inputs inputs)
{
    Reader in(bytes);
    const std::uint64_t version = in.number();
    if (version != kSpecVersion && version != kFormerSpecVersion)
        in.spoil();
    StoredSpec stored;
    work::StepSpec& spec = stored.spec;
    work::Placement& placement = spec.placement;
    placement.system = in.text();
    placement.features = in.texts();
    placement.tags = in.texts();
    placement.os = in.texts();
    placement.machines = in.texts();
    placement.executor = in.text();
    placement.user = in.text();
    if (version == kFormerSpecVersion)
        stored.formerLimits = readFormerLimits(in);
    spec.retry.retries = in.small();
    spec.retry.initial = in.duration();
    spec.retry.factor = in.small();
    spec.retry.max = in.duration();
    spec.retry.jitterPercent = in.small();
    spec.resources.cpus = in.small();
    spec.resources.memoryBytes = in.number();
    if (version == kSpecVersion)
        readNamed(in, spec.resources.named);
    const std::uint64_t kind = in.number();
    if (kind == kCommand)
        spec.work = std::make_shared<const work::Work>(readCommand(in));
    else if (kind == kNix || kind == kNixWithPlatform)
        spec.work = std::make_shared<const work::Work>(readNix(in, drv, inputs, kind == kNixWithPlatform));
    else
        in.spoil();
    PENSTOCK_TRY_VOID(in.finish("spec of a step"));
    return stored;
}

std::string encodeJobSpec(const work::JobSpec& spec)
{
    if (spec.limits == work::Limits{} && spec.concurrencyGroup.empty() && spec.concurrencyLimit == 0 &&
        spec.sourceId == 0)
        return {};
    Writer out;
    out.number(kJobSpecVersion);
    out.duration(spec.limits.timeout);
    out.duration(spec.limits.silentTimeout);
    out.number(spec.limits.maxLogBytes);
    out.number(spec.limits.maxOutputBytes);
    out.text(spec.concurrencyGroup);
    out.number(spec.concurrencyLimit);
    out.number(spec.sourceId);
    out.number(spec.limits.repeats);
    return out.take();
}

Result<void> decodeJobSpec(std::string_view bytes, work::JobSpec& spec)
{
    if (bytes.empty())
        return {};
    Reader in(bytes);
    const std::uint64_t version = in.number();
    if (version < kFirstJobSpecVersion || version > kJobSpecVersion)
        in.spoil();
    spec.limits.timeout = in.duration();
    spec.limits.silentTimeout = in.duration();
    spec.limits.maxLogBytes = in.number();
    spec.limits.maxOutputBytes = in.number();
    spec.concurrencyGroup = in.text();
    spec.concurrencyLimit = in.small();
    if (version > kFirstJobSpecVersion)
        spec.sourceId = in.number();
    if (version == kJobSpecVersion)
        spec.limits.repeats = in.small();
    return in.finish("spec of a job");
}

std::string encodeAvoid(const std::vector<MachineId>& machines)
{
    if (machines.empty())
        return {};
    Writer out;
    out.number(kListVersion);
    out.number(machines.size());
    for (const MachineId machine : machines)
        out.number(machine.value());
    return out.take();
}

Result<std::vector<MachineId>> decodeAvoid(std::string_view bytes)
{
    std::vector<MachineId> machines;
    if (bytes.empty())
        return machines;
    Reader in(bytes);
    in.version(kListVersion);
    for (std::size_t left = in.count(); left > 0; --left)
        machines.emplace_back(in.number());
    PENSTOCK_TRY_VOID(in.finish("list of machines to avoid"));
    return machines;
}

std::string encodeOutputs(const std::vector<work::OutputFact>& outputs)
{
    if (outputs.empty())
        return {};
    Writer out;
    out.number(kListVersion);
    out.number(outputs.size());
    for (const work::OutputFact& output : outputs) {
        out.text(output.name);
        out.text(output.path);
        out.text(output.narHash);
        out.number(output.narSize);
    }
    return out.take();
}

Result<std::vector<work::OutputFact>> decodeOutputs(std::string_view bytes)
{
    std::vector<work::OutputFact> outputs;
    if (bytes.empty())
        return outputs;
    Reader in(bytes);
    in.version(kListVersion);
    outputs.resize(in.count());
    for (work::OutputFact& output : outputs) {
        output.name = in.text();
        output.path = in.text();
        output.narHash = in.text();
        output.narSize = in.number();
    }
    PENSTOCK_TRY_VOID(in.finish("list of outputs"));
    return outputs;
}

std::string encodeResults(const work::SharedResults& results)
{
    if (results.isEmpty())
        return {};
    const work::BuildResults& from = results.get();
    Writer out;
    out.number(kResultsVersion);
    out.number(from.failed ? 1 : 0);
    out.number(from.closureSize);
    out.text(from.releaseName);
    out.number(from.products.size());
    for (const work::BuildProduct& product : from.products) {
        for (const std::string* text : {&product.type, &product.subtype, &product.output, &product.path,
                                        &product.defaultPath, &product.name, &product.sha256})
            out.text(*text);
        out.number(static_cast<std::uint64_t>(product.kind));
        out.number(product.size);
    }
    out.number(from.metrics.size());
    for (const work::BuildMetric& metric : from.metrics) {
        out.text(metric.name);
        out.number(std::bit_cast<std::uint64_t>(metric.value));
        out.text(metric.unit);
    }
    out.duration(from.effort.copied);
    out.number(from.effort.rounds);
    out.number(from.effort.isNondeterministic ? 1 : 0);
    return out.take();
}

Result<work::SharedResults> decodeResults(std::string_view bytes)
{
    if (bytes.empty())
        return work::SharedResults();
    Reader in(bytes);
    const std::uint64_t version = in.number();
    if (version != kResultsVersion && version != kFormerResultsVersion)
        in.spoil();
    work::BuildResults to;
    to.failed = in.number() != 0;
    to.closureSize = in.number();
    to.releaseName = in.text();
    to.products.resize(in.count());
    for (work::BuildProduct& product : to.products) {
        for (std::string* text : {&product.type, &product.subtype, &product.output, &product.path,
                                  &product.defaultPath, &product.name, &product.sha256})
            *text = in.text();
        const std::uint64_t kind = in.number();
        if (kind > static_cast<std::uint64_t>(work::ProductKind::Symlink))
            in.spoil();
        else
            product.kind = static_cast<work::ProductKind>(kind);
        product.size = in.number();
    }
    to.metrics.resize(in.count());
    for (work::BuildMetric& metric : to.metrics) {
        metric.name = in.text();
        metric.value = std::bit_cast<double>(in.number());
        metric.unit = in.text();
        if (!std::isfinite(metric.value))
            in.spoil();
    }
    if (version == kResultsVersion) {
        to.effort.copied = in.duration();
        to.effort.rounds = in.small();
        to.effort.isNondeterministic = in.number() != 0;
    }
    PENSTOCK_TRY_VOID(in.finish("results of a build"));
    return work::SharedResults(std::move(to));
}

} // namespace penstock::store::postgres
