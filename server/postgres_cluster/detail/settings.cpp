// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/postgres_cluster/detail/settings.h"

namespace penstock::postgres_cluster {
namespace {

std::string quote(std::string_view text)
{
    std::string quoted = "'";
    for (const char c : text) {
        if (c == '\'' || c == '\\')
            quoted += c;
        quoted += c;
    }
    return quoted + "'";
}

constexpr std::string_view kFixed = R"(
listen_addresses = ''
port = 5432
unix_socket_permissions = 0700
max_connections = 20
superuser_reserved_connections = 3

# Durability is the point of this database: do not turn these off.
fsync = on
synchronous_commit = on
full_page_writes = on

# One writer with large transactions, a few readers.
shared_buffers = 128MB
wal_buffers = 16MB
wal_level = minimal
max_wal_senders = 0
wal_compression = on
min_wal_size = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
jit = off
max_parallel_workers_per_gather = 0
max_logical_replication_workers = 0
random_page_cost = 1.1
autovacuum_naptime = 20s
autovacuum_vacuum_scale_factor = 0.1
autovacuum_vacuum_cost_limit = 1000

timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] '
log_min_messages = warning
log_min_error_statement = panic
log_checkpoints = off
log_connections = off
log_disconnections = off
log_autovacuum_min_duration = -1
)";

} // namespace

std::string serverSettings(std::string_view directory, std::string_view socketDirectory)
{
    std::string text = "# Written by penstock-server at every start. Put settings of your own into\n"
                       "# postgresql.local.conf in this directory: they are read last.\n";
    text += kFixed;
    text += "unix_socket_directories = ";
    // A list whose elements are quoted by double quotes inside the setting's single quotes.
    std::string element = "\"";
    for (const char c : socketDirectory) {
        if (c == '"')
            element += c;
        element += c;
    }
    text += quote(element + "\"") + "\n";
    text += "include_if_exists = " + quote(std::string(directory) + "/postgresql.local.conf") + "\n";
    return text;
}

std::string accessRules()
{
    return "# Written by penstock-server at every start. The socket's directory is closed to other users.\n"
           "local all all trust\n";
}

} // namespace penstock::postgres_cluster
