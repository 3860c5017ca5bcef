// SPDX-License-Identifier: GPL-3.0-or-later
// The lists and pages of jobs, steps, attempts and machines, made from the very JSON objects that --json
// prints: one row type for both. Pure, callable from any thread.
#pragma once

#include "client/output/style.h"
#include "client/output/table.h"
#include "shared/base/clock.h"

#include <cstdint>
#include <QJsonArray>
#include <QJsonObject>
#include <string>

namespace penstock::client {

struct View {
    Style style;
    std::size_t width = 0; // of the terminal; 0: not one
    WallTime now;          // ages are relative to it
};

enum class RecordKind : std::uint8_t { Job, Step, Run, Machine, Token };

[[nodiscard]] std::string renderList(RecordKind kind, const QJsonArray& records, const View& view);
// What attempts, or a job's roots, have built: its products, metrics, release names and sizes; withPlain: also of those
// that name none. Empty when there is nothing to say.
[[nodiscard]] std::string renderResults(const QJsonArray& records, const View& view, bool withPlain);
// Its builder did not fail, and its outputs say that it has.
[[nodiscard]] Cell outputFailedCell(const Style& style);
[[nodiscard]] std::string renderJob(const QJsonObject& job, const View& view);
[[nodiscard]] std::string renderMachine(const QJsonObject& machine, const View& view);
[[nodiscard]] std::string renderStatus(const QJsonObject& status, const View& view);
[[nodiscard]] std::string renderExplain(const QJsonObject& answer, const View& view);
// Queues, and under them the share groups: {"queues": […], "shares": […]}.
[[nodiscard]] std::string renderQueues(const QJsonObject& answer, const View& view);
// Namespaces with the share group of the same name: {"namespaces": […], "shares": […]}.
[[nodiscard]] std::string renderNamespaces(const QJsonObject& answer, const View& view);

} // namespace penstock::client
