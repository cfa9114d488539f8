#include "upstream/sandbox/text.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace leasegateway::sandbox {
namespace {

TEST(WriteJsonTest, WritesPlainDecimals) {
  const std::string text = R"({"a":19.99,"b":[1,-0.5,null,true,"x\"y"],"c":{}})";
  EXPECT_EQ(WriteJson(boost::json::parse(text)), text);
}

}  // namespace
}  // namespace leasegateway::sandbox
