// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/cache_uri.h"

#include <gtest/gtest.h>

namespace penstock::cache {
namespace {

std::string errorOf(std::string_view text)
{
    const auto uri = parseStoreUri(text);
    return uri ? std::string() : uri.error().message;
}

TEST(StoreUri, ReadsTheLocalStore)
{
    const auto uri = parseStoreUri("local?root=/srv/Root");
    ASSERT_TRUE(uri) << uri.error().message;
    EXPECT_EQ(uri->kind, StoreKind::Local);
    EXPECT_EQ(uri->root, "/srv/Root");
    EXPECT_EQ(parseStoreUri("local")->root, "");
}

TEST(StoreUri, ReadsADirectory)
{
    const auto uri =
        parseStoreUri("file:///srv/My%20Cache/?compression=xz&compression-level=9&parallel-compression=true"
                      "&write-nar-listing=1&index-debug-info=1&priority=30&want-mass-query=false"
                      "&secret-key=/k/A.sec&secret-keys=/k/b,/k/c&store=/other/store");
    ASSERT_TRUE(uri) << uri.error().message;
    EXPECT_EQ(uri->kind, StoreKind::Directory);
    EXPECT_EQ(uri->directory, "/srv/My Cache");
    EXPECT_EQ(uri->compression, compress::Method::Xz);
    EXPECT_EQ(uri->compressionLevel, 9);
    EXPECT_TRUE(uri->parallelCompression && uri->writeListings && uri->writeDebugInfo);
    EXPECT_FALSE(uri->wantMassQuery);
    EXPECT_EQ(uri->priority, 30U);
    EXPECT_EQ(uri->secretKeyFiles, (std::vector<std::string>{"/k/A.sec", "/k/b", "/k/c"}));
    EXPECT_EQ(uri->storeDir.text(), "/other/store");
}

TEST(StoreUri, KeepsTheCaseOfAnS3Uri)
{
    const auto uri =
        parseStoreUri("s3://My-Bucket?region=EU-x&scheme=http&endpoint=Host.Local:9000&profile=Build"
                      "&narinfo-compression=br&ls-compression=zst&log-compression=zstd&buffer-size=16MiB"
                      "&presigned-url-expiry=60&write-debug-info=true");
    ASSERT_TRUE(uri) << uri.error().message;
    EXPECT_EQ(uri->s3.bucket, "My-Bucket");
    EXPECT_EQ(uri->s3.region, "EU-x");
    EXPECT_EQ(uri->s3.scheme, "http");
    EXPECT_EQ(uri->s3.endpoint, "Host.Local:9000");
    EXPECT_EQ(uri->s3.profile, "Build");
    EXPECT_EQ(uri->s3.bufferBytes, 16U << 20U);
    EXPECT_EQ(uri->s3.presignedExpiry, std::chrono::seconds(60));
    EXPECT_EQ(uri->narInfoCompression, compress::Method::Brotli);
    EXPECT_EQ(uri->listingCompression, compress::Method::Zstd);
    EXPECT_EQ(uri->logCompression, compress::Method::Zstd);
    EXPECT_TRUE(uri->writeDebugInfo);
}

TEST(StoreUri, HasTheDocumentedDefaults)
{
    const auto s3 = parseStoreUri("s3://bucket/");
    ASSERT_TRUE(s3);
    EXPECT_EQ(s3->compression, compress::Method::Xz);
    EXPECT_EQ(s3->s3.region, "us-east-1");
    EXPECT_EQ(s3->s3.scheme, "https");
    EXPECT_EQ(s3->s3.profile, "default");
    EXPECT_EQ(s3->s3.bufferBytes, 8U << 20U);
    EXPECT_EQ(s3->s3.presignedExpiry, std::chrono::seconds(3600));
    EXPECT_FALSE(s3->parallelCompression || s3->writeListings || s3->writeDebugInfo);
    const auto directory = parseStoreUri("file:///c");
    ASSERT_TRUE(directory);
    EXPECT_EQ(directory->compression, compress::Method::Zstd);
    EXPECT_EQ(directory->storeDir, nix::StoreDir::standard());
}

TEST(StoreUri, NamesTheNearestParameter)
{
    const std::string error = errorOf("s3://bucket?compresion=xz");
    EXPECT_NE(error.find("\"compresion\""), std::string::npos) << error;
    EXPECT_NE(error.find("did you mean compression?"), std::string::npos) << error;
    EXPECT_NE(errorOf("file:///c?region=x").find("not for file:// stores"), std::string::npos);
    EXPECT_NE(errorOf("file:///c?log-compression=xz").find("not for file:// stores"), std::string::npos);
    EXPECT_NE(errorOf("local?zzz=1").find("there are root, store"), std::string::npos);
}

TEST(StoreUri, RefusesValuesOutOfScale)
{
    for (const char* text :
         {"s3://bucket?buffer-size=1MiB", "s3://bucket?presigned-url-expiry=59",
          "s3://bucket?presigned-url-expiry=86401", "s3://bucket?scheme=ftp", "s3://bucket?endpoint=http://x",
          "s3://bucket?endpoint=a/b", "s3://bucket?region=", "file:///c?compression=lz4",
          "file:///c?compression-level=x", "file:///c?parallel-compression=yes", "file:///c?priority=-1",
          "file:///c?store=relative", "file:///c?secret-key=relative", "local?root=relative",
          "file:///c?compression", "file:///c?compression=xz&compression=xz", "file:///c?store=/x%0ay",
          "file:///c?store=/x%4"}) {
        const auto uri = parseStoreUri(text);
        ASSERT_FALSE(uri) << text;
        EXPECT_EQ(uri.error().code, ErrorCode::Invalid) << text;
        EXPECT_NE(uri.error().message.find(text), std::string::npos)
            << "names the URI: " << uri.error().message;
    }
}

TEST(StoreUri, RefusesOtherPlaces)
{
    for (const char* text : {"", "file://relative", "file:", "s3://", "s3://ab", "s3://bucket/prefix",
                             "http://x", "localx", "file:///a#b", "S3://bucket"})
        EXPECT_FALSE(parseStoreUri(text)) << text;
    EXPECT_NE(errorOf("/srv/cache").find("file:///srv/cache?"), std::string::npos) << errorOf("/srv/cache");
}

} // namespace
} // namespace penstock::cache
