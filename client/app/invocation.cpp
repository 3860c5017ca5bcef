// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/app/invocation.h"

#include "shared/base/text.h"

#include <fmt/format.h>

namespace penstock::client {

Invocation::Invocation(Globals globals, Console& console, ApiClient api)
    : m_globals(std::move(globals)), m_console(console), m_api(std::move(api))
{}

View Invocation::view() const
{
    return {m_console.settings().outStyle, m_console.settings().outWidth, SystemClock().now().wall};
}

int Invocation::complain(const Error& error)
{
    const auto text = printableLines(error.message);
    // "no job 42" stands alone: scripts look for it.
    m_console.complain(error.code == ErrorCode::NotFound ? text : "penstock: " + text);
    return kExitFailed;
}

void Invocation::printJson(std::string_view document)
{
    m_console.out(fmt::format("{}\n", trim(document)));
}

int Invocation::show(const std::string& target,
                     const std::function<std::string(const QJsonObject&, const View&)>& render)
{
    const auto reply = m_api.get(target);
    if (!reply)
        return complain(reply.error());
    if (m_globals.json)
        printJson(reply->body);
    else
        m_console.out(render(reply->object, view()));
    return kExitFine;
}

} // namespace penstock::client
