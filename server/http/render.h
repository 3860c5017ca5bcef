// SPDX-License-Identifier: GPL-3.0-or-later
// The JSON of all that HTTP shows; keys are a contract. Pure.
#pragma once

#include "server/feed/records.h"
#include "server/http/gateway.h"
#include "server/http/json_writer.h"
#include "server/store/store.h"

#include <span>

namespace penstock::http {

// In a list; and alone, with its definition and what its roots have built.
void writeJob(JsonWriter& out, const store::JobView& job);
void writeJob(JsonWriter& out, const store::JobView& job, std::span<const store::StepView> roots);
// Of an attempt that has ended well: products, metrics, release_name, failed, size_bytes, closure_size_bytes.
void fieldsResults(JsonWriter& out, const work::AttemptProgress& progress);
void writeStep(JsonWriter& out, const store::StepView& step);
void writeRun(JsonWriter& out, const store::AttemptView& run);
void writeResources(JsonWriter& out, const work::Resources& resources); // an object
void writeMachine(JsonWriter& out, const MachineView& machine);
void writeExplanation(JsonWriter& out, const JobExplanation& explanation);
void writeQueue(JsonWriter& out, const QueueView& queue);
void writeShare(JsonWriter& out, const ShareView& share);
void writeNamespace(JsonWriter& out, const NamespaceView& nameSpace);
void writePause(JsonWriter& out, const work::DispatchPause& pause);
void writeStatus(JsonWriter& out, const StatusView& status);
void writeToken(JsonWriter& out, const store::TokenRow& token);

} // namespace penstock::http
