// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/history.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <tuple>
#include <utility>

namespace penstock::sched {
namespace {

// Machines report these numbers, so each is brought into a range in which no sum or product below overflows.
constexpr Duration kShortest = std::chrono::milliseconds(1);
constexpr Duration kLongest = std::chrono::hours(24 * 366);
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 50U;
constexpr std::uint32_t kMostMilliCpus = 4'096'000;

constexpr std::uint64_t kLeastBytes = std::uint64_t{16} << 20U; // first step of the grid
constexpr std::uint32_t kRobustAfter = 3;                       // runs
constexpr std::int64_t kOutlier = 4;                            // times more or less than expected
constexpr std::uint32_t kCpuNoise = 50;                         // thousandths: 1.03 measured is one cpu
constexpr std::uint32_t kCpuMargin = 150;                       // thousandths past a whole number, to move

bool isLetter(char character)
{
    const auto byte = static_cast<unsigned char>(character);
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte >= 0x80;
}

bool continuesCharacter(char byte) // of UTF-8
{
    return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

template <class Value> Value average(Value before, Value run)
{
    return (before * 3 + run + 2) / 4;
}

// Steps of the grid: 0 nothing known, then 16 MiB, 24 MiB, 32 MiB, 48 MiB, …
std::uint64_t gridBytes(std::uint8_t step)
{
    if (step == 0)
        return 0;
    const std::uint64_t power = kLeastBytes << ((step - 1U) / 2U);
    return step % 2 == 0 ? power + power / 2 : power;
}

std::uint8_t gridStep(std::uint64_t peak)
{
    if (peak == 0)
        return 0;
    const std::uint64_t wanted = peak + peak / 5 + (peak % 5 == 0 ? 0 : 1);
    std::uint8_t step = 1;
    while (gridBytes(step) < wanted)
        ++step;
    return step;
}

std::uint16_t wholeCpus(std::uint32_t milliCpus)
{
    const std::uint32_t clear = milliCpus > kCpuNoise ? milliCpus - kCpuNoise : 0;
    return static_cast<std::uint16_t>(std::max((clear + 999) / 1000, 1U));
}

std::uint16_t steadyCpus(std::uint16_t before, std::uint32_t milliCpus)
{
    const std::uint32_t upper = before * 1000U + kCpuMargin;
    const std::uint32_t lower = (before - 1U) * 1000U;
    if (milliCpus <= upper && milliCpus + kCpuMargin >= lower)
        return before;
    return wholeCpus(milliCpus);
}

std::uint32_t hashOf(std::string_view key)
{
    return static_cast<std::uint32_t>(std::hash<std::string_view>{}(key));
}

bool movedByTenth(Duration before, Duration now)
{
    const Duration change = now > before ? now - before : before - now;
    return change.count() > before.count() / 10;
}

} // namespace

std::string_view historyKey(std::string_view name)
{
    std::string_view key = name;
    for (std::size_t i = 1; i + 1 < name.size(); ++i)
        if (name[i] == '-' && !isLetter(name[i + 1])) {
            key = name.substr(0, i);
            break;
        }
    if (key.size() <= kHistoryNameBytes)
        return key;
    std::size_t length = kHistoryNameBytes;
    while (length > 0 && continuesCharacter(key[length]))
        --length;
    return key.substr(0, length == 0 ? kHistoryNameBytes : length);
}

History::History(std::size_t namesKept)
    : m_namesKept(std::clamp<std::size_t>(namesKept, 1, std::size_t{1} << 30U)), m_table(16)
{
}

// ----------------------------------------------------------------------------------------------------- learning

void History::record(std::string_view name, const RunFacts& facts, WallTime now)
{
    const std::string_view key = historyKey(name);
    if (key.empty() || facts.duration.count() <= 0)
        return; // nothing was learned
    EntryIndex index = find(key);
    if (index == kNone)
        index = add(key);
    else
        unlink(index);
    linkNewest(index);

    Entry& entry = m_entries[index];
    const Duration duration = std::clamp(facts.duration, kShortest, kLongest);
    Duration counted = duration;
    if (entry.runs >= kRobustAfter)
        counted = std::clamp(duration, std::max(entry.duration / kOutlier, kShortest),
                             std::min(entry.duration * kOutlier, kLongest));
    entry.duration = entry.runs == 0 ? counted : Duration(average(entry.duration.count(), counted.count()));

    if (facts.maxRssBytes > 0)
        entry.peakBytes =
            std::max(std::min(facts.maxRssBytes, kMostBytes), entry.peakBytes - entry.peakBytes / 8);

    if (facts.cpuTime.count() > 0) {
        const Duration cpuTime = std::min(facts.cpuTime, kLongest * 1000);
        const auto milli = static_cast<std::uint32_t>(
            std::clamp<std::int64_t>(cpuTime.count() / (duration.count() / 1000), 1, kMostMilliCpus));
        const bool isFirst = entry.milliCpus == 0;
        entry.milliCpus = isFirst ? milli : average(entry.milliCpus, milli);
        entry.cpus = isFirst ? wholeCpus(entry.milliCpus) : steadyCpus(entry.cpus, entry.milliCpus);
    }
    if (entry.runs < std::numeric_limits<std::uint32_t>::max())
        ++entry.runs;
    entry.lastRun = now;
    noteChange(index);
}

// A step of the grid and one cpu more or less are always more than 10 %, or all that can change.
void History::noteChange(EntryIndex index)
{
    Entry& entry = m_entries[index];
    const bool isChanged = entry.savedCpus != entry.cpus || entry.savedMemory != gridStep(entry.peakBytes) ||
                           movedByTenth(entry.savedDuration, entry.duration);
    if (!isChanged || entry.isDirty)
        return;
    entry.isDirty = true;
    m_dirty.push_back(index);
}

std::optional<Estimate> History::estimate(std::string_view name) const
{
    const EntryIndex index = find(historyKey(name));
    if (index == kNone)
        return std::nullopt;
    const Entry& entry = m_entries[index];
    return Estimate{.duration = entry.duration,
                    .memoryBytes = gridBytes(gridStep(entry.peakBytes)),
                    .cpus = entry.cpus};
}

// -------------------------------------------------------------------------------------------------- persistence

std::vector<work::HistoryRow> History::takeDirty()
{
    std::vector<work::HistoryRow> rows;
    rows.reserve(m_dirty.size());
    for (const EntryIndex index : m_dirty) {
        Entry& entry = m_entries[index];
        entry.isDirty = false;
        if (entry.letters == nullptr)
            continue; // was forgotten meanwhile
        entry.savedDuration = entry.duration;
        entry.savedCpus = entry.cpus;
        entry.savedMemory = gridStep(entry.peakBytes);
        rows.push_back({.name = std::string(entry.name()),
                        .runs = entry.runs,
                        .duration = entry.duration,
                        .memoryBytes = entry.peakBytes,
                        .milliCpus = entry.milliCpus,
                        .lastRun = entry.lastRun});
    }
    m_dirty.clear();
    return rows;
}

void History::load(std::span<const work::HistoryRow> rows)
{
    std::vector<const work::HistoryRow*> byAge;
    byAge.reserve(rows.size());
    for (const work::HistoryRow& row : rows)
        if (!row.name.empty() && row.name == historyKey(row.name) && row.runs > 0 && row.duration.count() > 0)
            byAge.push_back(&row);
    std::sort(byAge.begin(), byAge.end(), [](const work::HistoryRow* a, const work::HistoryRow* b) {
        return std::tie(a->lastRun, a->name) < std::tie(b->lastRun, b->name);
    });
    if (byAge.size() > m_namesKept)
        byAge.erase(byAge.begin(), byAge.end() - static_cast<std::ptrdiff_t>(m_namesKept));
    for (const work::HistoryRow* row : byAge) {
        EntryIndex index = find(row->name);
        if (index == kNone)
            index = add(row->name);
        else
            unlink(index);
        linkNewest(index);
        Entry& entry = m_entries[index];
        entry.duration = std::clamp(row->duration, kShortest, kLongest);
        entry.peakBytes = std::min(row->memoryBytes, kMostBytes);
        entry.milliCpus = std::min(row->milliCpus, kMostMilliCpus);
        entry.cpus = wholeCpus(entry.milliCpus);
        entry.runs = row->runs;
        entry.lastRun = row->lastRun;
        entry.savedDuration = entry.duration;
        entry.savedCpus = entry.cpus;
        entry.savedMemory = gridStep(entry.peakBytes);
    }
}

// ------------------------------------------------------------------------------------------- entries and their age

History::EntryIndex History::add(std::string_view key)
{
    if (m_size >= m_namesKept)
        evictOldest();
    if ((m_size + 1) * 8 > m_table.size() * 7)
        grow();
    EntryIndex index = m_firstFree;
    if (index == kNone) {
        index = static_cast<EntryIndex>(m_entries.size());
        m_entries.emplace_back();
    } else {
        m_firstFree = m_entries[index].older;
    }
    const bool isListed = m_entries[index].isDirty; // by who had the place before
    Entry& entry = m_entries[index];
    entry = Entry{};
    entry.isDirty = isListed;
    entry.letters = std::make_unique<char[]>(key.size());
    entry.length = static_cast<std::uint8_t>(key.size());
    std::copy(key.begin(), key.end(), entry.letters.get());
    m_table[slotOf(key)] = {index, hashOf(key)};
    ++m_size;
    return index;
}

void History::evictOldest()
{
    const EntryIndex index = m_oldest;
    eraseSlot(slotOf(m_entries[index].name()));
    unlink(index);
    Entry& entry = m_entries[index];
    const bool isListed = entry.isDirty;
    entry = Entry{};
    entry.isDirty = isListed; // so that no place is listed twice and the list stays as short as the entries
    entry.older = m_firstFree;
    m_firstFree = index;
    --m_size;
}

void History::linkNewest(EntryIndex index)
{
    m_entries[index].older = m_newest;
    m_entries[index].newer = kNone;
    if (m_newest == kNone)
        m_oldest = index;
    else
        m_entries[m_newest].newer = index;
    m_newest = index;
}

void History::unlink(EntryIndex index)
{
    const Entry& entry = m_entries[index];
    (entry.older == kNone ? m_oldest : m_entries[entry.older].newer) = entry.newer;
    (entry.newer == kNone ? m_newest : m_entries[entry.newer].older) = entry.older;
}

// ----------------------------------------------------------------------------------------------------- the table

std::size_t History::slotOf(std::string_view key) const
{
    const std::size_t mask = m_table.size() - 1;
    const std::uint32_t hash = hashOf(key);
    std::size_t at = hash & mask;
    while (m_table[at].index != kNone &&
           (m_table[at].hash != hash || m_entries[m_table[at].index].name() != key))
        at = (at + 1) & mask;
    return at;
}

// Moves back what a gap would hide (Knuth, The Art of Computer Programming, 6.4, algorithm R).
void History::eraseSlot(std::size_t slot)
{
    const std::size_t mask = m_table.size() - 1;
    std::size_t gap = slot;
    for (std::size_t at = (gap + 1) & mask; m_table[at].index != kNone; at = (at + 1) & mask) {
        const std::size_t home = m_table[at].hash & mask;
        if (((at - home) & mask) < ((at - gap) & mask))
            continue;
        m_table[gap] = m_table[at];
        gap = at;
    }
    m_table[gap] = Slot{};
}

void History::grow()
{
    const std::vector<Slot> before = std::exchange(m_table, std::vector<Slot>(m_table.size() * 2));
    const std::size_t mask = m_table.size() - 1;
    for (const Slot& slot : before) {
        if (slot.index == kNone)
            continue;
        std::size_t at = slot.hash & mask;
        while (m_table[at].index != kNone)
            at = (at + 1) & mask;
        m_table[at] = slot;
    }
}

} // namespace penstock::sched
