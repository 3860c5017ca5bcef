// SPDX-License-Identifier: GPL-3.0-or-later
// /openapi.json: the interface described by OpenAPI 3.1, made of the routes themselves, so that nothing can be
// described that is not served. Pure.
#pragma once

#include "server/http/route.h"

#include <string>
#include <vector>

namespace penstock::http {

[[nodiscard]] std::string openApiDocument(const std::vector<const Route*>& routes);

} // namespace penstock::http
