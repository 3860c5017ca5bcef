// SPDX-License-Identifier: GPL-3.0-or-later
// Streams over real sockets: NARs out with ranges and slow readers, NARs in with leave, limits and faults.
#include "server/cache/binary_cache.h"
#include "server/transfer/transfer_desk.h"
#include "shared/nix/nar.h"
#include "tests/support/memory_object_store.h"
#include "tests/unit/server/port.h"

#include <atomic>
#include <fmt/format.h>

namespace penstock::test {
namespace {

const nix::StoreDir kDir = nix::StoreDir::standard();
constexpr std::uint64_t kBig = 200U << 20U;

char byteAt(std::uint64_t offset)
{
    return static_cast<char>('a' + offset % 26);
}

// One object of any size that is never stored: nar/big.
class BigObject final : public cache::ObjectStore {
public:
    std::atomic<std::uint64_t> made{0};
    std::atomic<int> ended{0};
    std::atomic<bool> failed{false};

    Result<std::optional<cache::ObjectInfo>> head(std::string_view key) override
    {
        if (key != "nar/big")
            return m_rest.head(key);
        return cache::ObjectInfo{kBig, {}};
    }
    Result<void> get(std::string_view key, cache::ByteRange range, const ByteSink& sink) override
    {
        if (key != "nar/big")
            return m_rest.get(key, range, sink);
        std::string piece;
        const auto end = range.offset + range.length.value_or(kBig - range.offset);
        for (auto at = range.offset; at < end; at += piece.size()) {
            piece.resize(std::min<std::uint64_t>(100'000, end - at));
            for (std::size_t in = 0; in < piece.size(); ++in)
                piece[in] = byteAt(at + in);
            if (auto taken = sink(piece); !taken) {
                failed = true;
                ++ended;
                return taken;
            }
            made += piece.size();
        }
        ++ended;
        return {};
    }
    Result<std::unique_ptr<cache::ObjectWriter>> create(std::string_view key, cache::PutOptions options) override
    {
        return m_rest.create(key, std::move(options));
    }
    Result<void> remove(std::string_view key) override { return m_rest.remove(key); }
    Result<void> list(std::string_view prefix, const std::function<bool(std::string_view)>& visit) override
    {
        return m_rest.list(prefix, visit);
    }
    std::string describe() const override { return "big"; }

private:
    MemoryObjectStore m_rest;
};

struct FakeAttempts final : transfer::AttemptSource, auth::GrantSource {
    std::string drvPath;
    std::string drv;
    bool isLive = true;
    void attemptWork(AttemptId, transfer::Answer<transfer::AttemptWork> answer) override
    {
        if (!isLive)
            return answer(fail(ErrorCode::NotFound, "it is over"));
        answer(transfer::AttemptWork{drvPath, drv, {}, {}});
    }
    bool isGrant(std::string_view credential) const override { return credential.starts_with("attempt-"); }
    void findGrant(std::string grant, auth::Answer<auth::Identity> answer) override
    {
        if (grant != "attempt-7-good" || !isLive)
            return answer(fail(ErrorCode::Denied, "the grant is not one of this server"));
        answer(auth::Identity{auth::Kind::Attempt, "attempt-7", "attempt-7", AttemptId(7)});
    }
};

std::string narOf(std::string_view content)
{
    std::string bytes;
    nix::NarWriter writer([&](std::string_view more) -> Result<void> {
        bytes += more;
        return {};
    });
    EXPECT_TRUE(writer.beginFile("", content.size(), false));
    EXPECT_TRUE(writer.content(content));
    EXPECT_TRUE(writer.finish());
    return bytes;
}

struct StreamTest : ::testing::Test {
    struct Qt {
        Qt() { needQt(); }
    } qt;
    qt::QtLoop loop;
    SystemClock clock;
    NullLogger logger;
    BigObject* files = nullptr;
    std::unique_ptr<cache::BinaryCache> store;
    FakeAttempts attempts;
    std::unique_ptr<transfer::TransferDesk> desk;
    std::unique_ptr<Port> port;
    std::optional<nix::StorePath> output;

    void start(http::HttpOptions options = {})
    {
        auto objects = std::make_unique<BigObject>();
        files = objects.get();
        cache::BinaryCacheOptions cacheOptions;
        cacheOptions.encoding.method = compress::Method::None;
        cacheOptions.keys.push_back(*nix::SecretKey::fromSeed("k-1", bytesOf("0123456789abcdef0123456789abcdef")));
        auto opened = cache::BinaryCache::open(std::move(objects), std::move(cacheOptions), clock, logger);
        ASSERT_TRUE(opened) << opened.error().message;
        store = *std::move(opened);
        makeDerivation();
        desk = std::make_unique<transfer::TransferDesk>(
            transfer::DeskParts{loop, clock, logger, attempts, *store, files},
            transfer::DeskOptions{.rules = {kDir, {}}});
        port = std::make_unique<Port>(net::ListenerOptions{}, std::move(options), auth::Mode::Local, desk.get());
        port->authenticator.setGrants(&attempts);
    }
    ~StreamTest() override
    {
        port.reset(); // its connections end, so that nothing waits for a body any more
        desk.reset();
    }

    void makeDerivation()
    {
        output = *nix::StorePath::fromBaseName(std::string(32, 'b') + "-hello");
        nix::Derivation drv;
        drv.name = "hello";
        drv.outputs["out"] = {output, {}, {}};
        drv.platform = "x86_64-linux";
        drv.builder = "/bin/sh";
        drv.environment["out"] = output->print(kDir);
        attempts.drv = nix::printDerivation(kDir, drv);
        attempts.drvPath = nix::computeDerivationPath(kDir, drv)->print(kDir);
    }

    nix::NarInfo announced(std::string_view nar) const
    {
        return {*output, {}, {}, {}, {}, nix::hashOf(nar), nar.size(), {}, {}, {}, {}, {}};
    }
    static std::string bearer() { return "Authorization: Bearer attempt-7-good\r\n"; }
    std::string announce(RawClient& client, const nix::NarInfo& info)
    {
        client.send(post("/transfer/uploads?attempt=7", nix::printNarInfos(kDir, {info}), bearer()));
        return client.receive();
    }
    std::string putHead(std::size_t length, std::string_view more = {}) const
    {
        return fmt::format("PUT /transfer/nar/{}?attempt=7&compression=none HTTP/1.1\r\nHost: localhost\r\n"
                           "Content-Length: {}\r\n{}{}\r\n",
                           output->baseName(), length, bearer(), more);
    }
    std::string publish(RawClient& client)
    {
        client.send(post("/transfer/publish?attempt=7", fmt::format(R"({{"paths":["{}"]}})", output->print(kDir)),
                         bearer()));
        return client.receive();
    }
    std::string statusOf(const std::string& answer) { return answer.substr(0, answer.find("\r\n")); }
};

// --------------------------------------------------------------------------------------------------------- out

TEST_F(StreamTest, SendsTheRangeThatIsAskedFor)
{
    start();
    RawClient client(*port);
    client.send(get("/nar/big", "Range: bytes=26-35\r\n"));
    const auto answer = client.receive();
    EXPECT_EQ(statusOf(answer), "HTTP/1.1 206 Partial Content");
    EXPECT_EQ(bodyOf(answer), "abcdefghij");
    EXPECT_NE(answer.find(fmt::format("Content-Range: bytes 26-35/{}\r\n", kBig)), std::string::npos) << answer;
    client.send(get("/nar/big", fmt::format("Range: bytes={}-\r\n", kBig)));
    const auto past = client.receive();
    EXPECT_EQ(statusOf(past), "HTTP/1.1 416 Range Not Satisfiable");
    EXPECT_NE(past.find(fmt::format("Content-Range: bytes */{}\r\n", kBig)), std::string::npos) << past;
    // The connection goes on after both.
    client.send(get("/nar/big", "Range: bytes=-3\r\n"));
    EXPECT_EQ(bodyOf(client.receive()).size(), 3U);
}

TEST_F(StreamTest, TellsTheHeadWithoutMakingTheBody)
{
    start();
    RawClient client(*port);
    client.send("HEAD /nar/big HTTP/1.1\r\nHost: localhost\r\n\r\n" + get("/healthz"));
    ASSERT_TRUE(waitUntil([&] { return client.socket.peek(10'000).contains("ok\n"); }));
    const auto answer = client.socket.readAll().toStdString();
    EXPECT_NE(answer.find(fmt::format("Content-Length: {}\r\n", kBig)), std::string::npos) << answer;
    EXPECT_EQ(files->made, 0U);
}

TEST_F(StreamTest, SaysThatAVersionIsKnownAlready)
{
    start();
    RawClient client(*port);
    client.send(get("/nar/big", fmt::format("If-None-Match: \"big-{}\"\r\n", kBig)) + get("/healthz"));
    ASSERT_TRUE(waitUntil([&] { return client.socket.peek(10'000).contains("ok\n"); }));
    EXPECT_TRUE(client.socket.readAll().startsWith("HTTP/1.1 304 Not Modified\r\n"));
    EXPECT_EQ(files->made, 0U);
}

TEST_F(StreamTest, HoldsTheMakerBackWhileThePeerIsSlow)
{
    start();
    RawClient client(*port);
    client.socket.setReadBufferSize(1);
    client.send(get("/nar/big"));
    std::uint64_t before = 1;
    // Until it stands still: buffers of the kernel and about 1 MiB of ours are full.
    ASSERT_TRUE(waitUntil([&] {
        QElapsedTimer pause;
        pause.start();
        while (pause.elapsed() < 300)
            QCoreApplication::processEvents(QEventLoop::AllEvents, 20);
        return std::exchange(before, files->made.load()) == files->made && before > 0;
    }));
    EXPECT_LT(files->made, 40U << 20U);
    EXPECT_EQ(files->ended, 0);
    client.socket.setReadBufferSize(0);
    std::uint64_t received = 0;
    std::uint64_t wrong = 0;
    std::string head;
    const bool whole = waitUntil([&] {
        const auto bytes = client.socket.readAll().toStdString();
        std::size_t from = 0;
        if (!head.ends_with("\r\n\r\n")) {
            while (from < bytes.size() && !head.ends_with("\r\n\r\n"))
                head += bytes[from++];
        }
        for (; from < bytes.size(); ++from)
            wrong += bytes[from] == byteAt(received++) ? 0U : 1U;
        return received == kBig;
    });
    EXPECT_TRUE(whole) << received;
    EXPECT_EQ(wrong, 0U);
}

TEST_F(StreamTest, StopsTheMakerWhenThePeerGoes)
{
    start();
    {
        RawClient client(*port);
        client.send(get("/nar/big"));
        ASSERT_TRUE(waitUntil([&] { return client.socket.bytesAvailable() > 1'000; }));
        client.socket.abort();
    }
    EXPECT_TRUE(waitUntil([&] { return files->ended == 1; }));
    EXPECT_TRUE(files->failed);
}

TEST_F(StreamTest, RefusesMoreTransfersThanItAllows)
{
    http::HttpOptions options;
    options.senders = {1, 1};
    start(std::move(options));
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int count = 0; count < 2; ++count) { // one is served, one waits for its turn
        clients.push_back(std::make_unique<RawClient>(*port));
        clients.back()->socket.setReadBufferSize(1);
        clients.back()->send(get("/nar/big"));
        ASSERT_TRUE(waitUntil([&] { return files->made > 0; }));
    }
    // The second may not have arrived yet; then the next takes its place in the line and has no answer.
    std::string answer;
    for (int tries = 0; tries < 3 && answer.empty(); ++tries) {
        clients.push_back(std::make_unique<RawClient>(*port));
        clients.back()->send(get("/nar/big", "Range: bytes=0-1\r\n"));
        answer = clients.back()->receive();
    }
    EXPECT_EQ(statusOf(answer), "HTTP/1.1 503 Service Unavailable");
    EXPECT_NE(answer.find("Retry-After: "), std::string::npos);
}

// ---------------------------------------------------------------------------------------------------------- in

TEST_F(StreamTest, TakesAnOutputAndShowsItOnceItIsPublished)
{
    start();
    const auto nar = narOf(std::string(300'000, 'x'));
    RawClient client(*port);
    const auto plan = announce(client, announced(nar));
    EXPECT_NE(plan.find(R"("state":"wanted")"), std::string::npos) << plan;
    client.send(putHead(nar.size()) + nar);
    EXPECT_EQ(statusOf(client.receive()), "HTTP/1.1 201 Created");
    const auto narInfo = fmt::format("/{}.narinfo", output->digest());
    client.send(get(narInfo));
    EXPECT_EQ(statusOf(client.receive()), "HTTP/1.1 404 Not Found");
    EXPECT_EQ(desk->sessions().stagedCount(), 1U);
    const auto published = publish(client);
    EXPECT_EQ(statusOf(published), "HTTP/1.1 200 OK") << published;
    EXPECT_EQ(desk->sessions().stagedCount(), 0U);
    RawClient other(*port); // nothing of the missing path is remembered for long, but for some seconds it may be
    ASSERT_TRUE(waitUntil([&] {
        other.send(get(narInfo));
        return other.receive().find("\nSig: k-1:") != std::string::npos;
    }));
    other.send(post("/transfer/closure", fmt::format(R"({{"paths":["{}"]}})", output->print(kDir))));
    ASSERT_TRUE(waitUntil([&] { return other.socket.peek(100'000).contains("\r\n0\r\n\r\n"); }));
    EXPECT_TRUE(other.socket.readAll().contains("StorePath: "));
}

TEST_F(StreamTest, GivesLeaveToSendOnlyToWhoMay)
{
    start();
    const auto nar = narOf("hello");
    {
        RawClient stranger(*port);
        stranger.send(fmt::format("PUT /transfer/nar/{}?attempt=7&compression=none HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Length: {}\r\nExpect: 100-continue\r\n"
                                  "Authorization: Bearer attempt-7-forged\r\n\r\n",
                                  output->baseName(), nar.size()));
        const auto answer = stranger.receive();
        EXPECT_EQ(statusOf(answer), "HTTP/1.1 401 Unauthorized") << answer;
        EXPECT_TRUE(stranger.ended());
    }
    RawClient client(*port);
    (void)announce(client, announced(nar));
    client.send(putHead(nar.size(), "Expect: 100-continue\r\n"));
    ASSERT_TRUE(waitUntil([&] { return client.socket.bytesAvailable() > 0; }));
    EXPECT_EQ(client.socket.readAll(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(nar);
    EXPECT_EQ(statusOf(client.receive()), "HTTP/1.1 201 Created");
}

TEST_F(StreamTest, RefusesWhatWasNotAnnouncedWithoutReadingIt)
{
    start();
    RawClient client(*port);
    client.send(putHead(3U << 30U, "Expect: 100-continue\r\n"));
    const auto answer = client.receive();
    EXPECT_EQ(statusOf(answer), "HTTP/1.1 404 Not Found");
    EXPECT_NE(answer.find("announce it"), std::string::npos) << answer;
    EXPECT_TRUE(client.ended());
}

TEST_F(StreamTest, TellsAWrongHashAndKeepsNothing)
{
    start();
    const auto nar = narOf("hello");
    const auto other = narOf("hullo");
    RawClient client(*port);
    (void)announce(client, announced(nar));
    client.send(putHead(other.size()) + other);
    const auto answer = client.receive();
    EXPECT_EQ(statusOf(answer), "HTTP/1.1 422 Unprocessable Content") << answer;
    EXPECT_NE(answer.find(announced(nar).narHash.prefixedBase32()), std::string::npos) << answer;
    const auto refused = publish(client);
    EXPECT_EQ(statusOf(refused), "HTTP/1.1 409 Conflict") << refused;
}

TEST_F(StreamTest, TakesABodyThatBreaksOffForNothing)
{
    start();
    const auto nar = narOf(std::string(100'000, 'x'));
    {
        RawClient client(*port);
        (void)announce(client, announced(nar));
        client.send(putHead(nar.size()) + nar.substr(0, 50'000));
        ASSERT_TRUE(waitUntil([&] { return client.socket.bytesToWrite() == 0; }));
        client.socket.disconnectFromHost();
    }
    ASSERT_TRUE(waitUntil([&] { return desk->counters().failed == 1; }));
    EXPECT_EQ(desk->sessions().stagedCount(), 0U);
    RawClient again(*port);
    again.send(putHead(nar.size()) + nar);
    EXPECT_EQ(statusOf(again.receive()), "HTTP/1.1 201 Created");
}

TEST_F(StreamTest, CutsABodyThatStalls)
{
    http::HttpOptions options;
    options.bodyTime = std::chrono::milliseconds(300);
    start(std::move(options));
    const auto nar = narOf(std::string(100'000, 'x'));
    RawClient client(*port);
    (void)announce(client, announced(nar));
    client.send(putHead(nar.size()) + nar.substr(0, 50'000));
    const auto answer = client.receive();
    EXPECT_EQ(statusOf(answer), "HTTP/1.1 408 Request Timeout") << answer;
    EXPECT_NE(answer.find("stalled"), std::string::npos);
    EXPECT_TRUE(waitUntil([&] { return desk->counters().failed == 1; }));
}

TEST_F(StreamTest, RemovesWhatAnAttemptBroughtAndNeverPublished)
{
    start();
    const auto nar = narOf("hello");
    RawClient client(*port);
    (void)announce(client, announced(nar));
    client.send(putHead(nar.size()) + nar);
    ASSERT_EQ(statusOf(client.receive()), "HTTP/1.1 201 Created");
    const auto key = store->narKey(announced(nar));
    EXPECT_TRUE(files->head(key)->has_value());
    desk->attemptEnded(AttemptId(7));
    attempts.isLive = false;
    EXPECT_TRUE(waitUntil([&] { return !files->head(key)->has_value(); }));
    EXPECT_EQ(statusOf(publish(client)), "HTTP/1.1 401 Unauthorized");
}

TEST_F(StreamTest, TakesTheOutputsOfAnAttemptByItsOwnGrantOnly)
{
    start();
    const auto body = nix::printNarInfos(kDir, {announced(narOf("hello"))});
    RawClient client(*port);
    client.send(post("/transfer/uploads?attempt=8", body, bearer()));
    const auto foreign = client.receive();
    EXPECT_EQ(statusOf(foreign), "HTTP/1.1 403 Forbidden") << foreign;
    EXPECT_NE(foreign.find("attempt 7, not for attempt 8"), std::string::npos) << foreign;
    client.send(post("/transfer/uploads?attempt=7", body));
    EXPECT_EQ(statusOf(client.receive()), "HTTP/1.1 403 Forbidden");
    client.send(post("/transfer/uploads", body)); // as a client: only what proves itself
    EXPECT_NE(client.receive().find(R"("state":"refused")"), std::string::npos);
}

} // namespace
} // namespace penstock::test
