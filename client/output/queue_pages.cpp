// SPDX-License-Identifier: GPL-3.0-or-later
// What waits, and for whom: queues, share groups, namespaces.
#include "client/output/fields.h"
#include "client/output/human_text.h"
#include "client/output/json_fields.h"
#include "client/output/records.h"
#include "client/output/table.h"

#include <fmt/format.h>
#include <map>

namespace penstock::client {

namespace {

// "big 40, small 3"
std::string groupsText(const QJsonArray& groups)
{
    std::string out;
    for (const auto& item : groups) {
        const auto group = item.toObject();
        out += fmt::format("{}{} {}", out.empty() ? "" : ", ", textField(group, "group"), textField(group, "queued"));
    }
    return out;
}

std::string percentField(const QJsonObject& object, const char* key)
{
    return fmt::format("{:.1f} %", fractionField(object, key));
}

std::string secondsField(const QJsonObject& object, const char* key)
{
    return humanDuration(std::chrono::seconds(numberField(object, key)));
}

std::string sharesTable(const QJsonArray& shares, const View& view)
{
    Table table({{"SHARE GROUP", Align::Left, true},
                 {"SHARES", Align::Right},
                 {"USED", Align::Right},
                 {"OF ALL", Align::Right},
                 {"TARGET", Align::Right},
                 {"RUNNING", Align::Right},
                 {"QUEUED", Align::Right}});
    for (const auto& item : shares) {
        const auto share = item.toObject();
        table.add({{textField(share, "group")},
                   {textField(share, "shares")},
                   {secondsField(share, "used_seconds")},
                   {percentField(share, "used_percent")},
                   {percentField(share, "target_percent")},
                   {textField(share, "running")},
                   {textField(share, "queued")}});
    }
    return table.empty() ? std::string() : table.render(view.style, view.width);
}

// "3 of 10", or "3" without a limit.
std::string limitText(const QJsonObject& object, const char* now, const char* limit)
{
    const auto most = numberField(object, limit);
    return most == 0 ? textField(object, now) : fmt::format("{} of {}", numberField(object, now), most);
}

} // namespace

std::string renderQueues(const QJsonObject& answer, const View& view)
{
    Table table({{"QUEUE"},
                 {"QUEUED", Align::Right},
                 {"DELAYED", Align::Right},
                 {"BLOCKED", Align::Right},
                 {"RUNNING", Align::Right},
                 {"OLDEST WAIT", Align::Right},
                 {"MACHINES", Align::Right},
                 {"FREE SLOTS", Align::Right},
                 {"QUEUED BY GROUP", Align::Left, true}});
    const auto queues = arrayField(answer, "queues");
    for (const auto& item : queues) {
        const auto queue = item.toObject();
        const bool stuck = numberField(queue, "queued") > 0 && numberField(queue, "eligible_machines") == 0;
        table.add({{textField(queue, "key")},
                   {textField(queue, "queued")},
                   {textField(queue, "delayed")},
                   {textField(queue, "blocked")},
                   {textField(queue, "running")},
                   {ageField(queue, "oldest_ready", view.now)},
                   {textField(queue, "eligible_machines"), stuck ? Colour::Red : Colour::None},
                   {textField(queue, "free_slots")},
                   {groupsText(arrayField(queue, "groups"))}});
    }
    const auto shares = sharesTable(arrayField(answer, "shares"), view);
    if (table.empty())
        return shares;
    return table.render(view.style, view.width) + (shares.empty() ? "" : "\n" + shares);
}

std::string renderNamespaces(const QJsonObject& answer, const View& view)
{
    std::map<std::string, QJsonObject> shares;
    const auto groups = arrayField(answer, "shares");
    for (const auto& item : groups)
        shares.emplace(textField(item.toObject(), "group"), item.toObject());
    Table table({{"NAMESPACE", Align::Left, true},
                 {"OPEN JOBS", Align::Right},
                 {"RUNNING STEPS", Align::Right},
                 {"CPUS", Align::Right},
                 {"SHARES", Align::Right},
                 {"USED", Align::Right},
                 {"OF ALL", Align::Right}});
    const auto namespaces = arrayField(answer, "namespaces");
    for (const auto& item : namespaces) {
        const auto row = item.toObject();
        const auto found = shares.find(textField(row, "name"));
        const auto share = found == shares.end() ? QJsonObject() : found->second;
        table.add({{textField(row, "name")},
                   {limitText(row, "open_jobs", "max_queued_jobs")},
                   {limitText(row, "running_steps", "max_running_steps")},
                   {limitText(row, "running_cpus", "max_cpus")},
                   {textField(share, "shares")},
                   {share.isEmpty() ? std::string() : secondsField(share, "used_seconds")},
                   {share.isEmpty() ? std::string() : percentField(share, "used_percent")}});
    }
    return table.empty() ? std::string() : table.render(view.style, view.width);
}

} // namespace penstock::client
