#include "upstream/sandbox/representation.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/support/gzip.h"
#include "tests/support/sandbox_fixture.h"

namespace leasegateway::sandbox {
namespace {

TEST(RepresentationTest, GzipIsSentToWhoeverTakesIt) {
  for (const std::string takes : {"gzip", "br, GZIP", "gzip;q=0.5", "identity;q=1, gzip ; q=1.0"}) {
    EXPECT_TRUE(TakesGzip(takes)) << takes;
  }
  for (const std::string refuses :
       {"", "identity", "gzip;q=0", "gzip; q=0.000", "x-gzipped", "br"}) {
    EXPECT_FALSE(TakesGzip(refuses)) << refuses;
  }
  EXPECT_EQ(Gunzip(Gzip("some text")), "some text");
}

TEST(RepresentationTest, ConditionsAreThoseOfTheStandard) {
  const std::string etag = "W/\"1\"";
  EXPECT_TRUE(IsUnchanged({"W/\"1\"", ""}, etag, 0));
  EXPECT_TRUE(IsUnchanged({"\"1\"", ""}, etag, 0));
  EXPECT_TRUE(IsUnchanged({"\"0\", W/\"1\"", ""}, etag, 0));
  EXPECT_TRUE(IsUnchanged({"*", ""}, etag, 0));
  EXPECT_FALSE(IsUnchanged({"\"2\"", ""}, etag, 0));
  EXPECT_FALSE(IsUnchanged({"", ""}, etag, 0));

  const std::string time = "Tue, 03 Nov 2026 08:49:37 GMT";
  const std::int64_t seconds = 1793695777;
  EXPECT_EQ(HttpDate(seconds), time);
  EXPECT_TRUE(IsUnchanged({"", time}, etag, seconds));
  EXPECT_FALSE(IsUnchanged({"", time}, etag, seconds + 1));
  EXPECT_FALSE(IsUnchanged({"", time}, etag, 0)) << "not known";
  EXPECT_FALSE(IsUnchanged({"", "yesterday"}, etag, seconds));
  // RFC 9110, 13.1.3: the tag counts, if there is one.
  EXPECT_FALSE(IsUnchanged({"\"2\"", time}, etag, seconds));
}

class RepresentedListTest : public SandboxTest {
 protected:
  void With(bool gzip, bool validators) {
    SandboxOptions options;
    options.numbers = 20;
    options.keys = {kFirst, kSecond};
    options.gzip = gzip;
    options.validators = validators;
    Start(options);
  }
  Result Get(const std::string& target, std::vector<std::pair<std::string, std::string>> fields) {
    Client client(*sandbox_, kFirst);
    client.fields = std::move(fields);
    return client.Call("GET", target);
  }
};

TEST_F(RepresentedListTest, ByItselfNothingIsCompressedOrRevalidated) {
  const Result result = Get("/leases", {{"accept-encoding", "gzip"}});
  EXPECT_EQ(result.content_encoding, "");
  EXPECT_EQ(result.etag, "");
  EXPECT_EQ(result.last_modified, "");
  EXPECT_EQ(Get("/leases", {{"if-none-match", "*"}}).status, 200);
}

TEST_F(RepresentedListTest, ListsComeInGzipIfThatIsAskedFor) {
  With(true, false);
  const Result plain = Get("/leases", {});
  EXPECT_EQ(plain.content_encoding, "");
  const Result result = Get("/leases", {{"accept-encoding", "gzip"}});
  EXPECT_EQ(result.content_encoding, "gzip");
  EXPECT_LT(result.body.size(), plain.body.size() / 2);
  EXPECT_EQ(boost::json::parse(Gunzip(result.body)).at("data"), plain.Data());
  // A single record does not, nor does an error.
  EXPECT_EQ(Get("/" + number_, {{"accept-encoding", "gzip"}}).content_encoding, "");
  EXPECT_EQ(Get("/leased", {{"accept-encoding", "gzip"}}).content_encoding, "");
  Lease();
  EXPECT_EQ(Get("/leased", {{"accept-encoding", "gzip"}}).content_encoding, "gzip");
}

TEST_F(RepresentedListTest, UnchangedListIsNotSentAgain) {
  With(false, true);
  Lease();
  for (const std::string target : {"/leases", "/leased"}) {
    const Result first = Get(target, {});
    EXPECT_EQ(first.etag.substr(0, 3), "W/\"") << target;
    const Result same = Get(target, {{"if-none-match", first.etag}});
    EXPECT_EQ(same.status, 304);
    EXPECT_EQ(same.body, "");
    EXPECT_EQ(same.etag, first.etag);
  }
  const Result before = Get("/leases", {});
  EXPECT_EQ(Get("/leases", {{"if-modified-since", before.last_modified}}).status, 304);
  Control("POST", "churn", R"({"count":3})");
  const Result after = Get("/leases", {{"if-none-match", before.etag}});
  EXPECT_EQ(after.status, 200);
  EXPECT_NE(after.etag, before.etag);
  EXPECT_EQ(Control("GET", "requests").at("not_modified"), 3);
  EXPECT_GT(Control("GET", "requests").at("sent_bytes").as_int64(), 1'000);
}

}  // namespace
}  // namespace leasegateway::sandbox
