// Lists in gzip and lists that are unchanged, from a server that is not ours.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/programs.h"
#include "tests/support/wire_fixture.h"

namespace leasegateway {
namespace {

class NginxTest : public WireFixture {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(nginx_.Path("numbers"));
    const auto identity = authority().Good();
    Write("leaf.pem", identity.certificate);
    Write("leaf.key", identity.key);
    WriteList(AvailableBody(), std::chrono::hours(2));
    const int port = FreePort();
    Write("nginx.conf", Configuration(port));
    nginx_.Start("nginx", "/usr/sbin/nginx",
                 {"-p", nginx_.Path(""), "-c", nginx_.Path("nginx.conf"), "-e", "stderr"});
    for (int i = 0; i < 500 && !IsListening(port); ++i) usleep(10'000);
    ASSERT_TRUE(IsListening(port)) << ReadAll(nginx_.Path("nginx.err"));
    Connect(port);
  }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(nginx_.Path(name)) << text;
  }
  void WriteList(const std::string& text, std::chrono::seconds age) const {
    Write("numbers/leases", text);
    std::filesystem::last_write_time(nginx_.Path("numbers/leases"),
                                     std::filesystem::file_time_type::clock::now() - age);
  }
  std::string Configuration(int port) const {
    std::string temporary;
    for (const std::string kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
      temporary += kind + "_temp_path " + nginx_.Path(kind) + ";\n";
    }
    return "daemon off;\nmaster_process off;\npid " + nginx_.Path("pid") +
           ";\nevents { worker_connections 64; }\nhttp {\n" + temporary +
           "log_format wire '$status $sent_http_content_encoding;';\n"
           "access_log " +
           nginx_.Path("wire.log") +
           " wire;\n"
           "default_type application/json;\n"
           "gzip on;\ngzip_types application/json;\ngzip_min_length 1;\n"
           "server {\nlisten 127.0.0.1:" +
           std::to_string(port) +
           " ssl;\n"
           "ssl_certificate leaf.pem;\nssl_certificate_key leaf.key;\n"
           "root " +
           nginx_.Path("") + ";\n}\n}\n";
  }
  static sockaddr_in Loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
  }
  static int FreePort() {
    const int handle = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(handle, reinterpret_cast<sockaddr*>(&address), size), 0);
    getsockname(handle, reinterpret_cast<sockaddr*>(&address), &size);
    close(handle);
    return ntohs(address.sin_port);
  }
  static bool IsListening(int port) {
    const int handle = socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = Loopback(port);
    const bool is =
        connect(handle, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    close(handle);
    return is;
  }
  // The status and encoding of each answer so far; nginx writes one down once it has sent it.
  std::string Wire(std::size_t answers) const {
    std::string log;
    for (int i = 0; i < 500; ++i) {
      log = ReadAll(nginx_.Path("wire.log"));
      if (static_cast<std::size_t>(std::count(log.begin(), log.end(), '\n')) >= answers) break;
      usleep(10'000);
    }
    std::replace(log.begin(), log.end(), '\n', ' ');
    return log;
  }
  Reply<NumberList> List(const Validators& known = {}) {
    auto reply = Ask(operation::ListAvailableNumbers(known));
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *std::move(reply) : Reply<NumberList>();
  }

  Programs nginx_;
};

TEST_F(NginxTest, ListComesInGzipAndOnlyWhenItHasChanged) {
  const auto first = List();
  EXPECT_EQ(first.value.size(), 1);
  EXPECT_EQ(first.validators.etag.substr(0, 3), "W/\"") << "what is compressed has a weak one";
  EXPECT_NE(first.validators.last_modified, "");
  EXPECT_TRUE(List(first.validators).is_unchanged);
  EXPECT_TRUE(List(Validators{first.validators.etag, "", first.validators.key}).is_unchanged);
  EXPECT_TRUE(
      List(Validators{"", first.validators.last_modified, first.validators.key}).is_unchanged);
  EXPECT_EQ(Wire(4), "200 gzip; 304 -; 304 -; 304 -; ");

  WriteList(Envelope(R"({"available": 0, "numbers": []})"), std::chrono::hours(1));
  const auto second = List(first.validators);
  EXPECT_FALSE(second.is_unchanged);
  EXPECT_EQ(second.value.size(), 0);
  EXPECT_NE(second.validators.etag, first.validators.etag);
  EXPECT_NE(second.validators.last_modified, first.validators.last_modified);
  EXPECT_TRUE(List(second.validators).is_unchanged);
  EXPECT_EQ(Wire(6), "200 gzip; 304 -; 304 -; 304 -; 200 gzip; 304 -; ");
}

// The list may change again until then, and its time would not tell.
TEST_F(NginxTest, TimeThatHasNotPassedIsNotReliedUpon) {
  WriteList(AvailableBody(), std::chrono::seconds(-10));
  const auto list = List();
  EXPECT_NE(list.validators.etag, "");
  EXPECT_EQ(list.validators.last_modified, "");
}

}  // namespace
}  // namespace leasegateway
