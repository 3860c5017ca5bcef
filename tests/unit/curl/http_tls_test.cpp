// SPDX-License-Identifier: GPL-3.0-or-later
// HttpClient against a TLS server that asks for a certificate (openssl s_server).
#include "shared/curl/http_client.h"

#include "tests/support/child_program.h"
#include "tests/support/temp_directory.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::curl {
namespace {

using testing::HasSubstr;

class HttpClientTls : public ::testing::Test {
protected:
    test::TempDirectory m_directory;

    // A certificate that is its own authority, for 127.0.0.1.
    void makeCertificate(const std::string& name) const
    {
        const test::Ended ended = test::runProgram(
            {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", "/CN=" + name, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
             file(name, "key"), "-out", file(name, "crt")});
        ASSERT_EQ(ended.status, 0) << ended.output;
    }
    [[nodiscard]] std::string file(const std::string& name, const char* end) const
    {
        return fmt::format("{}/{}.{}", m_directory.path(), name, end);
    }
    [[nodiscard]] HttpClientOptions optionsOf(const std::string& authority, const std::string& client) const
    {
        HttpClientOptions options;
        if (!authority.empty())
            options.caFile = file(authority, "crt");
        if (!client.empty()) {
            options.clientCertFile = file(client, "crt");
            options.clientKeyFile = file(client, "key");
        }
        return options;
    }
};

TEST_F(HttpClientTls, TrustsTheAuthorityThatIsNamedAndShowsItsCertificate)
{
    makeCertificate("server");
    makeCertificate("client");
    test::ChildProgram server({"openssl", "s_server", "-accept", "127.0.0.1:0", "-www", "-cert",
                               file("server", "crt"), "-key", file("server", "key"), "-CAfile",
                               file("client", "crt"), "-Verify", "1", "-verify_return_error"});
    ASSERT_THAT(server.readUntil("ACCEPT 127.0.0.1:"), HasSubstr("ACCEPT"));
    std::string port = server.readUntil("\n");
    port.pop_back();
    const HttpRequest request{.url = fmt::format("https://127.0.0.1:{}/", port)};

    const Result<HttpResponse> got = HttpClient(optionsOf("server", "client")).perform(request);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->status, 200U);

    const Result<HttpResponse> untrusted = HttpClient(optionsOf("client", "client")).perform(request);
    ASSERT_FALSE(untrusted);
    EXPECT_EQ(untrusted.error().code, ErrorCode::Denied) << untrusted.error().message;
    EXPECT_THAT(untrusted.error().message, HasSubstr("name the authority's certificate"));

    EXPECT_FALSE(HttpClient(optionsOf("server", "")).perform(request)) << "without a certificate of its own";

    const Result<HttpResponse> missing = HttpClient(optionsOf("none", "client")).perform(request);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::Invalid) << missing.error().message;
    EXPECT_THAT(missing.error().message, HasSubstr("none.crt"));
    EXPECT_EQ(HttpClient(optionsOf("server", "none")).perform(request).error().code, ErrorCode::Invalid);
}

} // namespace
} // namespace penstock::curl
