#include "service/guard/callers_port.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace {

bool there_is_no_ipv6 = false;

}  // namespace

// As a kernel without IPv6 answers.
extern "C" int socket(int domain, int type, int protocol) noexcept {
  if (there_is_no_ipv6 && domain == AF_INET6) {
    errno = EAFNOSUPPORT;
    return -1;
  }
  return static_cast<int>(syscall(SYS_socket, domain, type, protocol));
}

namespace leasegateway {
namespace {

class CallersPortTest : public testing::Test {
 protected:
  ~CallersPortTest() override { there_is_no_ipv6 = false; }

  boost::asio::io_context io_;
  CallersPort port_{io_, std::chrono::seconds(20)};
};

TEST_F(CallersPortTest, WithoutIpv6AllAddressesAreThoseOfIpv4) {
  there_is_no_ipv6 = true;
  ASSERT_TRUE(port_.Listen("[::]:0").ok());
  ASSERT_EQ(port_.acceptors().size(), 1u);
  EXPECT_EQ(port_.acceptors()[0].local_endpoint().address().to_string(), "0.0.0.0");
  EXPECT_GT(port_.number(), 0);
}

TEST_F(CallersPortTest, WithoutIpv6AnAddressOfItIsNone) {
  there_is_no_ipv6 = true;
  EXPECT_EQ(port_.Listen("[::1]:0").message(),
            "listen: \"[::1]:0\": can't listen there: Address family not supported by protocol");
}

TEST_F(CallersPortTest, AllAddressesAreThoseOfBothFamilies) {
  if (!port_.Listen("[::]:0").ok()) GTEST_SKIP() << "there is no IPv6 here";
  boost::asio::ip::tcp::socket caller(io_);
  boost::system::error_code error;
  caller.connect(
      {boost::asio::ip::make_address("127.0.0.1"), static_cast<std::uint16_t>(port_.number())},
      error);
  EXPECT_FALSE(error) << error.message();
}

}  // namespace
}  // namespace leasegateway
