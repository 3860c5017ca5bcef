// SPDX-License-Identifier: GPL-3.0-or-later
// Road, Fetcher and Sender between a real nix-daemon's store and a small HTTP server that keeps paths in
// memory, and cuts, refuses and counts as told.
#include "shared/base/mutex.h"
#include "shared/base/text.h"
#include "shared/nix/nar.h"
#include "shared/nixstore/daemon_store.h"
#include "shared/transfer/fetcher.h"
#include "shared/transfer/sender.h"
#include "tests/support/loopback_server.h"
#include "tests/support/nix_fixture.h"

#include <charconv>
#include <chrono>
#include <future>
#include <map>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::transfer {
namespace {

using test::LoopbackConnection;

std::string narOf(const std::string& content)
{
    std::string archive;
    nix::NarWriter writer([&](std::string_view bytes) -> Result<void> {
        archive.append(bytes);
        return {};
    });
    EXPECT_TRUE(writer.beginFile("", content.size(), false));
    EXPECT_TRUE(writer.content(content));
    EXPECT_TRUE(writer.finish());
    return archive;
}

// The /transfer routes, as far as a builder needs them; paths are kept in memory.
class SmallServer {
public:
    explicit SmallServer(nix::StoreDir dir)
        : m_dir(std::move(dir)), m_http([this](auto& link) { serve(link); })
    {}

    nix::NarInfo put(unsigned number, const std::string& content, const nix::StorePathSet& references = {})
    {
        const auto path = *nix::StorePath::fromBaseName(fmt::format("{:032}-path", number));
        const std::string nar = narOf(content);
        nix::NarInfo info{path,       fmt::format("nar/{}.nar", number),
                          "none",     {},
                          nar.size(), nix::hashOf(nar),
                          nar.size(), references,
                          {},         "",
                          {},         ""};
        const MutexLock lock(m_mutex);
        m_infos.push_back(info);
        m_files["/" + info.url] = nar;
        return info;
    }
    [[nodiscard]] std::string url() const { return m_http.url(""); }

    Mutex m_mutex; // of all below
    std::map<std::string, std::string> m_files;
    std::map<std::string, int> m_gets;
    std::size_t cutAfter = 0; // bytes of a file; once for each file
    int putsRefused = 0;      // answered with 503
    std::shared_future<void> gate; // if any, the second half of a file waits for it
    bool isPresignedDead = false;
    std::string refusal; // of every announced path
    std::set<std::string> published;
    std::map<std::string, std::string> staged;
    int presignedPuts = 0;

private:
    static std::string answer(unsigned status, const std::string& body, const std::string& more = {})
    {
        return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), more,
                           body);
    }
    static std::string header(const std::string& head, const std::string& name)
    {
        const auto at = head.find("\r\n" + name + ": ");
        if (at == std::string::npos)
            return {};
        const auto from = at + name.size() + 4;
        return head.substr(from, head.find("\r\n", from) - from);
    }
    static std::string body(LoopbackConnection& link, const std::string& head)
    {
        if (header(head, "Expect") == "100-continue")
            link.send("HTTP/1.1 100 Continue\r\n\r\n");
        if (const auto length = header(head, "Content-Length"); !length.empty())
            return link.readBytes(*parseUnsigned(length));
        std::string all;
        while (header(head, "Transfer-Encoding") == "chunked") {
            std::string size;
            while (!size.ends_with("\r\n")) {
                const auto next = link.readBytes(1);
                if (next.empty())
                    return all;
                size += next;
            }
            std::size_t count = 0;
            std::from_chars(size.data(), size.data() + size.size(), count, 16);
            all += link.readBytes(count);
            static_cast<void>(link.readBytes(2));
            if (count == 0)
                break;
        }
        return all;
    }

    void serve(LoopbackConnection& link)
    {
        for (;;) {
            const std::string head = link.readHead();
            if (head.empty())
                return;
            const auto method = head.substr(0, head.find(' '));
            const auto target =
                head.substr(method.size() + 1, head.find(' ', method.size() + 1) - method.size() - 1);
            const std::string text = body(link, head);
            if (method == "GET" ? !get(link, head, target) : !take(link, target, text))
                return;
        }
    }

    bool get(LoopbackConnection& link, const std::string& head, const std::string& target)
    {
        std::string file;
        bool isCut = false;
        {
            const MutexLock lock(m_mutex);
            const auto found = m_files.find(target);
            if (found == m_files.end()) {
                link.send(answer(404, ""));
                return true;
            }
            file = found->second;
            isCut = m_gets[target]++ == 0 && cutAfter > 0;
        }
        std::size_t from = 0;
        if (const auto range = header(head, "Range"); !range.empty())
            from = *parseUnsigned(range.substr(6, range.size() - 7));
        const auto more =
            from > 0 ? fmt::format("Content-Range: bytes {}-{}/{}\r\n", from, file.size() - 1, file.size())
                     : std::string();
        const auto all = answer(from > 0 ? 206 : 200, file.substr(from), more);
        if (isCut) {
            link.send(std::string_view(all).substr(0, cutAfter));
            return false;
        }
        link.send(std::string_view(all).substr(0, all.size() / 2));
        if (gate.valid())
            gate.wait();
        link.send(std::string_view(all).substr(all.size() / 2));
        return true;
    }

    bool take(LoopbackConnection& link, const std::string& target, const std::string& text)
    {
        const MutexLock lock(m_mutex);
        if (target == "/transfer/closure") {
            link.send(answer(200, closureOf(text)));
        } else if (target.starts_with("/transfer/uploads")) {
            link.send(answer(200, plans(text, target.find("direct=1") != std::string::npos)));
        } else if (target.starts_with("/transfer/publish")) {
            const auto first = text.find('"', text.find('['));
            published.insert(text.substr(first + 1, text.find('"', first + 1) - first - 1));
            link.send(answer(200, R"({"published":)" + text.substr(text.find('['))));
        } else if (target.starts_with("/presigned")) {
            ++presignedPuts;
            if (isPresignedDead)
                return false;
            staged[target] = text;
            link.send(answer(200, "", "ETag: \"e\"\r\n"));
        } else if (putsRefused > 0) {
            --putsRefused;
            link.send(answer(503, "", "Retry-After: 0\r\n"));
        } else {
            staged[target] = text;
            link.send(answer(201, "{}"));
        }
        return true;
    }

    // Put in order: references first.
    std::string closureOf(const std::string& wanted) const
    {
        std::vector<nix::NarInfo> closure;
        nix::StorePathSet references;
        for (auto info = m_infos.rbegin(); info != m_infos.rend(); ++info) {
            if (wanted.find(info->path.baseName()) == std::string::npos && !references.contains(info->path))
                continue;
            references.insert(info->references.begin(), info->references.end());
            closure.insert(closure.begin(), *info);
        }
        return nix::printNarInfos(m_dir, closure);
    }

    std::string plans(const std::string& text, bool isDirect)
    {
        const auto infos = nix::parseNarInfos(m_dir, text, nix::NarInfoKind::WithoutFile);
        std::string out;
        for (const auto& info : *infos) {
            const bool isPast = !isDirect && usesPresigned;
            const auto url = isPast ? m_http.url("/presigned") : "/transfer/nar/" + info.path.baseName();
            out += fmt::format("{}{{\"path\":\"{}\",", out.empty() ? "" : ",", info.path.print(m_dir));
            if (!refusal.empty())
                out += fmt::format(R"("state":"refused","reason":"{}"}})", refusal);
            else
                out += fmt::format(R"("state":"wanted","put":{{"url":"{}","compression":"none"}}}})", url);
        }
        return fmt::format(R"({{"paths":[{}]}})", out);
    }

    nix::StoreDir m_dir;
    std::vector<nix::NarInfo> m_infos;

public:
    bool usesPresigned = false;

private:
    test::LoopbackServer m_http; // last: its threads use everything above
};

class RoadsTest : public ::testing::Test {
protected:
    void SetUp() override
    {
        auto started = test::NixFixture::start();
        ASSERT_TRUE(started) << started.error().message;
        nix = *std::move(started);
        nixdaemon::PoolOptions options;
        options.daemon.storeDir = nix->storeDir();
        pool = *nixdaemon::DaemonPool::create(nix->socketPath(), options);
        server = std::make_unique<SmallServer>(nix->storeDir());
        road = std::make_shared<const Road>(
            RoadOptions{[this] { return server->url(); },
                        "grant",
                        7,
                        nix->storeDir(),
                        {std::chrono::milliseconds(1), 2, std::chrono::milliseconds(5), 4}},
            std::make_shared<RoadClients>(curl::HttpClientOptions{}));
    }
    [[nodiscard]] StoreMaker maker() const
    {
        return [pool = pool](const nixdaemon::Interrupt& interrupt) {
            return std::make_unique<nixstore::DaemonStore>(pool, interrupt);
        };
    }
    [[nodiscard]] std::unique_ptr<nixstore::StoreAccess> store() const
    {
        return maker()(*nixdaemon::Interrupt::create());
    }
    [[nodiscard]] FetchOrder order(const nix::StorePathSet& paths) const
    {
        return {paths, road, maker(), *nixdaemon::Interrupt::create()};
    }
    [[nodiscard]] bool has(const nix::StorePath& path) const
    {
        return store()->validPaths({path}, false)->contains(path);
    }

    std::unique_ptr<test::NixFixture> nix;
    std::shared_ptr<nixdaemon::DaemonPool> pool;
    std::unique_ptr<SmallServer> server;
    std::shared_ptr<const Road> road;
};

TEST_F(RoadsTest, FetchesWithReferencesAndOnlyWhatIsMissing)
{
    const auto low = server->put(1, "low");
    const auto top = server->put(2, std::string(3'000'000, 't'), {low.path});
    Fetcher fetcher({2});
    const auto fetched = fetcher.fetch(order({top.path}));
    ASSERT_TRUE(fetched) << fetched.error().message;
    EXPECT_EQ(fetched->paths, 2U);
    EXPECT_TRUE(has(top.path));
    EXPECT_EQ(fetcher.fetch(order({top.path}))->paths, 0U);
    EXPECT_EQ(server->m_gets["/nar/2.nar"], 1);
}

TEST_F(RoadsTest, ABrokenDownloadGoesOnWhereItWas)
{
    server->cutAfter = 2'000'000;
    const auto path = server->put(1, std::string(3'000'000, 'x'));
    Fetcher fetcher({1});
    const auto fetched = fetcher.fetch(order({path.path}));
    ASSERT_TRUE(fetched) << fetched.error().message;
    EXPECT_EQ(server->m_gets["/nar/1.nar"], 2);
    EXPECT_TRUE(has(path.path));
}

TEST_F(RoadsTest, DamagedBytesAreNotAddedAndThePathIsNamed)
{
    for (const std::size_t size : {std::size_t{100}, std::size_t{3'000'000}}) {
        const auto path = server->put(static_cast<unsigned>(size), std::string(size, 'x'));
        server->m_files["/" + path.url][120] ^= 1;
        Fetcher fetcher({1});
        const auto fetched = fetcher.fetch(order({path.path}));
        ASSERT_FALSE(fetched);
        EXPECT_EQ(fetched.error().code, ErrorCode::Corrupt) << fetched.error().message;
        EXPECT_NE(fetched.error().message.find(path.path.baseName()), std::string::npos)
            << fetched.error().message;
        EXPECT_FALSE(has(path.path));
    }
}

TEST_F(RoadsTest, WhatNobodyHasIsNamed)
{
    Fetcher fetcher({1});
    const auto nowhere = *nix::StorePath::fromBaseName(fmt::format("{:032}-nowhere", 9));
    const auto fetched = fetcher.fetch(order({nowhere}));
    ASSERT_FALSE(fetched);
    EXPECT_EQ(fetched.error().code, ErrorCode::NotFound);
    EXPECT_NE(fetched.error().message.find("nowhere"), std::string::npos);
}

TEST_F(RoadsTest, TwoThatWantThePathWaitForOneTransferAndOneMayLeave)
{
    std::promise<void> release;
    server->gate = release.get_future().share();
    const auto path = server->put(1, std::string(1'000'000, 'x'));
    Fetcher fetcher({2});
    // Told for the first time when the path is asked for.
    std::promise<void> firstWaits;
    std::promise<void> secondWaits;
    FetchOrder leaving = order({path.path});
    leaving.onProgress = [&](const TransferProgress&) { firstWaits.set_value(); };
    auto first = std::async(std::launch::async, [&] { return fetcher.fetch(leaving); });
    firstWaits.get_future().wait();
    FetchOrder staying = order({path.path});
    staying.onProgress = [&](const TransferProgress& progress) {
        if (progress.pathsDone == 0)
            secondWaits.set_value();
    };
    auto second = std::async(std::launch::async, [&] { return fetcher.fetch(staying); });
    secondWaits.get_future().wait();
    const auto began = std::chrono::steady_clock::now();
    leaving.interrupt.raise();
    const auto left = first.get();
    ASSERT_FALSE(left);
    EXPECT_EQ(left.error().code, ErrorCode::Cancelled);
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(1));
    release.set_value();
    const auto stayed = second.get();
    ASSERT_TRUE(stayed) << stayed.error().message;
    EXPECT_EQ(server->m_gets["/nar/1.nar"], 1);
    EXPECT_TRUE(has(path.path));
}

TEST_F(RoadsTest, WithKeysWhatIsNotSignedStaysOut)
{
    const auto path = server->put(1, "unsigned");
    const auto key = *nix::SecretKey::fromSeed("k", bytesOf("0123456789abcdef0123456789abcdef"));
    Fetcher fetcher({1, {key.publicKey()}});
    const auto fetched = fetcher.fetch(order({path.path}));
    ASSERT_FALSE(fetched);
    EXPECT_EQ(fetched.error().code, ErrorCode::Denied);
    EXPECT_FALSE(has(path.path));
}

TEST_F(RoadsTest, ManyTinyPathsComeInBatches)
{
    nix::StorePathSet paths;
    for (unsigned i = 1; i <= 500; ++i)
        paths.insert(server->put(i, fmt::format("content {}", i)).path);
    Fetcher fetcher({4});
    const auto began = std::chrono::steady_clock::now();
    const auto fetched = fetcher.fetch(order(paths));
    ASSERT_TRUE(fetched) << fetched.error().message;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    RecordProperty("paths_a_second", fmt::format("{:.0f}", 500 / took.count()));
    EXPECT_EQ(store()->validPaths(paths, false)->size(), 500U);
}

class SendingTest : public RoadsTest {
protected:
    nix::NarInfo add(unsigned number, const std::string& content, const nix::StorePathSet& references = {})
    {
        const auto path = *nix::StorePath::fromBaseName(fmt::format("{:032}-mine", number));
        const std::string nar = narOf(content);
        const nix::NarInfo info{path,       "",         "", {}, {}, nix::hashOf(nar),
                                nar.size(), references, {}, "", {}, ""};
        std::size_t at = 0;
        EXPECT_TRUE(store()->addNar(info, [&](std::span<char> into) -> Result<std::size_t> {
            const auto count = std::min(into.size(), nar.size() - at);
            std::copy_n(nar.data() + at, count, into.data());
            at += count;
            return count;
        }));
        return info;
    }
    Result<TransferProgress> send(const nix::StorePath& path)
    {
        Sender sender({2, "/tmp"});
        return sender.send({{path}, road, maker(), *nixdaemon::Interrupt::create()});
    }
};

TEST_F(SendingTest, SendsWhatIsReferredToAndPublishes)
{
    const auto low = add(1, "low");
    const auto top = add(2, std::string(2'000'000, 't'), {low.path});
    const auto sent = send(top.path);
    ASSERT_TRUE(sent) << sent.error().message;
    EXPECT_EQ(sent->paths, 2U);
    EXPECT_EQ(server->staged.at("/transfer/nar/" + top.path.baseName()), narOf(std::string(2'000'000, 't')));
    EXPECT_TRUE(server->published.contains(low.path.print(nix->storeDir()))) << "references are named first";
}

TEST_F(SendingTest, TriesAgainWhenTheServerIsBusy)
{
    server->putsRefused = 2;
    const auto path = add(1, std::string(2'000'000, 'x'));
    const auto sent = send(path.path);
    ASSERT_TRUE(sent) << sent.error().message;
}

TEST_F(SendingTest, ARefusalNamesPathAndReason)
{
    server->refusal = "is not an output";
    const auto path = add(1, "x");
    const auto sent = send(path.path);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::Denied);
    EXPECT_NE(sent.error().message.find(path.path.baseName() + ": is not an output"), std::string::npos)
        << sent.error().message;
    EXPECT_TRUE(server->published.empty());
}

TEST_F(SendingTest, GoesThroughTheServerWhenS3CannotBeReached)
{
    server->usesPresigned = true;
    server->isPresignedDead = true;
    const auto path = add(1, std::string(2'000'000, 'x'));
    const auto sent = send(path.path);
    ASSERT_TRUE(sent) << sent.error().message;
    EXPECT_GE(server->presignedPuts, 1);
    EXPECT_TRUE(server->staged.contains("/transfer/nar/" + path.path.baseName()));
}

TEST_F(SendingTest, GoesPastTheServerWithItsLengthStated)
{
    server->usesPresigned = true;
    const auto path = add(1, std::string(2'000'000, 'x'));
    const auto sent = send(path.path);
    ASSERT_TRUE(sent) << sent.error().message;
    EXPECT_EQ(server->staged.at("/presigned"), narOf(std::string(2'000'000, 'x')));
}

} // namespace
} // namespace penstock::transfer
