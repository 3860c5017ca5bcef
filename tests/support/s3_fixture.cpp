// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/s3_fixture.h"

#include "server/cache/s3_xml.h"
#include "shared/curl/http_client.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <thread>

namespace penstock::test {
namespace {

[[noreturn]] void endProgram(const std::string& why)
{
    fmt::print(stderr, "the tests need an S3 server (./dev setup installs it): {}\n", why);
    std::exit(1);
}

// The letter of /proc: R, S, T when stopped, Z when ended; ? when it is gone.
char stateOf(pid_t pid)
{
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string text;
    std::getline(file, text);
    const std::size_t end = text.rfind(')');
    return end == std::string::npos || end + 2 >= text.size() ? '?' : text[end + 2];
}

void waitForState(pid_t pid, std::string_view wanted)
{
    for (int i = 0; i < 10'000; ++i) {
        if (wanted.find(stateOf(pid)) != std::string_view::npos)
            return;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    ADD_FAILURE() << "process " << pid << " is in state " << stateOf(pid) << ", not in one of " << wanted;
}

std::string script(std::string_view name)
{
    const char* const source = std::getenv("PENSTOCK_SOURCE_DIR");
    return fmt::format("{}/tests/integration/s3_server/{}", source == nullptr ? "." : source, name);
}

} // namespace

S3Server::S3Server() : m_runner({script("run.sh")})
{
    std::istringstream lines(m_runner.readUntil("\n\n"));
    for (std::string line; std::getline(lines, line) && !line.empty();)
        m_values[line.substr(0, line.find('='))] = line.substr(line.find('=') + 1);
    if (!m_values.contains("S3_PORT"))
        endProgram(script("run.sh") + " failed, started by hand it says why");
}

S3Server::~S3Server()
{
    thaw();
    m_runner.closeInput(); // then it stops the server
    m_runner.wait();
}

std::string S3Server::value(const std::string& name) const
{
    const auto found = m_values.find(name);
    return found == m_values.end() ? std::string() : found->second;
}

cache::S3StoreOptions S3Server::newBucket()
{
    cache::S3StoreOptions options;
    options.bucket = fmt::format("test-{}", ++m_buckets);
    options.scheme = "http";
    options.host = "127.0.0.1:" + value("S3_PORT");
    options.credentials = {value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY")};
    options.backOff.initial = std::chrono::milliseconds(50);
    options.backOff.cap = std::chrono::milliseconds(500);
    cache::S3Connection connection(options);
    const auto made = connection.call({.method = "PUT"});
    EXPECT_TRUE(made && made->isSuccess()) << (made ? made->response.body : made.error().message);
    return options;
}

pid_t S3Server::gateway() const
{
    std::ifstream file(value("S3_DIR") + "/radosgw.pid");
    pid_t pid = 0;
    file >> pid;
    if (pid <= 1)
        endProgram("no radosgw.pid");
    return pid;
}

void S3Server::crash() const
{
    const pid_t pid = gateway();
    ::kill(pid, SIGKILL);
    waitForState(pid, "Z?");
}

void S3Server::freeze() const
{
    const pid_t pid = gateway();
    ::kill(pid, SIGSTOP);
    waitForState(pid, "T");
}

void S3Server::thaw() const
{
    ::kill(gateway(), SIGCONT);
}

void S3Server::restart() const
{
    const Ended ended = runProgram({script("start.sh"), value("S3_DIR"), value("S3_PORT")});
    EXPECT_EQ(ended.status, 0) << ended.output;
}

void S3Server::configure(const std::string& line, bool isThere) const
{
    const std::string path = value("S3_DIR") + "/ceph.conf";
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    std::string changed = text.str(); // its last section is the gateway's
    if (isThere)
        changed += line + "\n";
    else if (const std::size_t at = changed.rfind(line); at != std::string::npos)
        changed.erase(at);
    std::ofstream(path) << changed;
}

void S3Server::administer(const std::vector<std::string>& words) const
{
    std::vector<std::string> all{"radosgw-admin", "-c", value("S3_DIR") + "/ceph.conf"};
    all.insert(all.end(), words.begin(), words.end());
    const Ended ended = runProgram(all);
    EXPECT_EQ(ended.status, 0) << ended.output;
}

curl::AwsCredentials S3Server::newSession() const
{
    const std::string body =
        "Action=AssumeRole&DurationSeconds=900&RoleArn=" + curl::encodeQuery(value("S3_ROLE_ARN")) +
        "&RoleSessionName=tests&Version=2011-06-15";
    const curl::SigningScope scope{
        {value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY")}, "us-east-1", "sts"};
    curl::SignedCall call =
        curl::signRequest({.method = "POST",
                           .scheme = "http",
                           .host = "127.0.0.1:" + value("S3_PORT"),
                           .path = "/",
                           .headers = {{"Content-Type", "application/x-www-form-urlencoded"}},
                           .payload = curl::sha256Hex(body)},
                          scope, SystemClock().now().wall);
    const auto answer = curl::HttpClient({}).perform(
        {.method = "POST", .url = call.url, .headers = call.headers, .text = body});
    EXPECT_TRUE(answer && answer->status == 200) << (answer ? answer->body : answer.error().message);
    const auto root = cache::parseXml(answer->body);
    const cache::XmlElement* const result = root ? root->child("AssumeRoleResult") : nullptr;
    const cache::XmlElement* const made = result != nullptr ? result->child("Credentials") : nullptr;
    EXPECT_NE(made, nullptr) << answer->body;
    if (made == nullptr)
        return {};
    return {made->textOf("AccessKeyId"), made->textOf("SecretAccessKey"), made->textOf("SessionToken")};
}

S3Server& sharedS3()
{
    static S3Server server;
    return server;
}

} // namespace penstock::test
