// SPDX-License-Identifier: GPL-3.0-or-later
// A real S3 server for tests (Ceph's gateway): one for each test program, started at first use by
// tests/integration/s3_server/run.sh, which removes it even when the program is killed. A machine without it
// fails these tests; nothing is skipped.
#pragma once

#include "server/cache/s3_store.h"
#include "tests/support/child_program.h"

#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

namespace penstock::test {

class S3Server {
public:
    S3Server();
    ~S3Server();
    S3Server(const S3Server&) = delete;
    S3Server& operator=(const S3Server&) = delete;

    // A store in an empty bucket of its own; tries quickly.
    [[nodiscard]] cache::S3StoreOptions newBucket();
    [[nodiscard]] const std::map<std::string, std::string>& values() const { return m_values; }
    [[nodiscard]] std::string value(const std::string& name) const;
    // Each returns when it has happened, which is later than kill().
    void crash() const;  // kill -9 of the gateway
    void freeze() const; // it hangs with its connections open
    void thaw() const;
    // Starts the gateway that crashed.
    void restart() const;
    // A line of its configuration; counts from the next start.
    void configure(const std::string& line, bool isThere) const;
    // radosgw-admin with these words.
    void administer(const std::vector<std::string>& words) const;
    // Credentials with a session token, for 15 minutes (AssumeRole).
    [[nodiscard]] curl::AwsCredentials newSession() const;

private:
    [[nodiscard]] pid_t gateway() const;

    std::map<std::string, std::string> m_values;
    ChildProgram m_runner;
    int m_buckets = 0;
};

[[nodiscard]] S3Server& sharedS3();

} // namespace penstock::test
