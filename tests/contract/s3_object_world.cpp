// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/object_store_world.h"
#include "tests/support/s3_fixture.h"

namespace penstock::cache {
namespace {

struct S3World final : ObjectStoreWorld {
    S3StoreOptions options = test::sharedS3().newBucket();

    std::unique_ptr<ObjectStore> open() override { return std::make_unique<S3Store>(options); }
};

// The bucket shared with others, keys below a folder, the bucket in the host's name, a session token.
struct SharedBucketWorld final : ObjectStoreWorld {
    S3StoreOptions options = test::sharedS3().newBucket();

    SharedBucketWorld()
    {
        EXPECT_TRUE(S3Store(options).putText("others/key", "x", {}));
        options.prefix = "our/folder/";
        options.isPathStyle = false;
        options.host = test::sharedS3().value("S3_DOMAIN");
        static const curl::AwsCredentials session = test::sharedS3().newSession();
        options.credentials = session;
        options.partBytes = 5U << 20U;
    }
    std::unique_ptr<ObjectStore> open() override { return std::make_unique<S3Store>(options); }
};

template <class World> std::unique_ptr<ObjectStoreWorld> make()
{
    return std::make_unique<World>();
}

INSTANTIATE_TEST_SUITE_P(S3, ObjectStoreContract,
                         ::testing::Values(ObjectStoreKind{"Bucket", true, make<S3World>},
                                           ObjectStoreKind{"Folder", true, make<SharedBucketWorld>}),
                         [](const auto& tested) { return tested.param.name; });

} // namespace
} // namespace penstock::cache
