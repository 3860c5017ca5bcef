// SPDX-License-Identifier: GPL-3.0-or-later
// token create|list|revoke: who may talk to the server.
#include "client/commands/arguments.h"
#include "client/commands/table.h"
#include "client/output/json_fields.h"
#include "shared/base/text.h"

#include <fmt/format.h>
#include <QJsonArray>
#include <QJsonDocument>

namespace penstock::client {

namespace {

using config::Kind;
using config::Values;

int create(Invocation& invocation, const Values& values)
{
    QJsonObject body{{QStringLiteral("kind"), QString::fromStdString(values.text("kind"))}};
    if (values.has("name"))
        body.insert(QStringLiteral("name"), QString::fromStdString(values.text("name")));
    if (values.has("expires")) {
        const auto at = SystemClock().now().wall + values.duration("expires");
        body.insert(QStringLiteral("expires"), QString::fromStdString(formatRfc3339(at)));
    }
    const auto reply = invocation.api().post(
        "/api/v1/tokens", QJsonDocument(body).toJson(QJsonDocument::Compact).toStdString());
    if (!reply)
        return invocation.complain(reply.error());
    if (invocation.globals().json) {
        invocation.printJson(reply->body);
        return kExitFine;
    }
    invocation.console().out(textField(reply->object, "token") + "\n");
    invocation.console().note(
        fmt::format("token {} made; it is shown only now. Keep it in a file of mode 0600 and name "
                    "that with --token-file",
                    textField(reply->object, "id")));
    return kExitFine;
}

int list(Invocation& invocation)
{
    return invocation.show("/api/v1/tokens", [](const QJsonObject& answer, const View& view) {
        return renderList(RecordKind::Token, arrayField(answer, "tokens"), view);
    });
}

int revoke(Invocation& invocation, const Values& values)
{
    const auto id = values.argument("ID");
    if (id.empty())
        return usageError(invocation, {ErrorCode::Invalid,
                                       "token revoke needs the token's ID; `penstock token list` shows it"});
    const auto reply = invocation.api().post(fmt::format("/api/v1/tokens/{}/revoke", percentEncode(id)), {});
    if (!reply)
        return invocation.complain(reply.error());
    if (invocation.globals().json)
        invocation.printJson(reply->body);
    else if (!invocation.globals().quiet)
        invocation.console().out(fmt::format("token {} revoked\n", printable(id)));
    return kExitFine;
}

int token(Invocation& invocation, const Values& values)
{
    const auto action = values.argument("ACTION");
    if (action == "create")
        return create(invocation, values);
    if (action == "list")
        return list(invocation);
    if (action == "revoke")
        return revoke(invocation, values);
    return usageError(invocation, {ErrorCode::Invalid,
                                   fmt::format("token \"{}\": it must be create, list or revoke", action)});
}

} // namespace

Command tokenCommand()
{
    return {
        {"token",
         "create, list and revoke access tokens",
         {{"kind", Kind::Text, "create: whom the token is for", "KIND", "client", {}, {"builder", "client"}},
          {"name", Kind::Text, "create: a name to know it by", "NAME"},
          {"expires", Kind::Duration, "create: valid for so long", "TIME"}},
         {{"ACTION", "create, list or revoke"},
          {"ID", "revoke: the token's id, as `token list` shows it", false}}},
        "create prints the token on standard output, this once. revoke takes the token's id.",
        {"penstock token create --kind builder --name builder-1 > builder-1.token",
         "penstock token revoke fc16a9a0413486de"},
        token};
}

} // namespace penstock::client
