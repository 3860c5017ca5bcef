// SPDX-License-Identifier: GPL-3.0-or-later
// The JSON of jobs, steps, runs and machines; keys are a contract. Pure.
#pragma once

#include "server/feed/records.h"
#include "server/http/gateway.h"
#include "server/http/json_writer.h"
#include "server/store/store.h"

namespace penstock::http {

void writeJob(JsonWriter& out, const store::JobView& job, bool withDefinition);
void writeStep(JsonWriter& out, const store::StepView& step);
void writeRun(JsonWriter& out, const store::AttemptView& run);
void writeMachine(JsonWriter& out, const feed::MachineEntry& machine);
void writeExplanation(JsonWriter& out, const JobExplanation& explanation);
void writeStatus(JsonWriter& out, const StatusView& status);
void writeToken(JsonWriter& out, const store::TokenRow& token);

} // namespace penstock::http
