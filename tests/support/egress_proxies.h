#ifndef LEASE_GATEWAY_TESTS_SUPPORT_EGRESS_PROXIES_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_EGRESS_PROXIES_H_

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/postgres_server.h"

namespace leasegateway {

// What the proxies below take where they ask for credentials.
inline constexpr char kProxyUser[] = "gateway";
inline constexpr char kProxyPassword[] = "tunnel-Secret-7";

// A proxy as a process, without rights and in a temporary folder, which ends with this.
class EgressProxy {
 public:
  EgressProxy(const EgressProxy&) = delete;
  EgressProxy& operator=(const EgressProxy&) = delete;
  ~EgressProxy() {
    Kill();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  int port() const { return port_; }
  std::string Url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // Its own record of what it was asked.
  std::string log() const {
    std::ostringstream text;
    text << std::ifstream(folder_ + "/requests").rdbuf();
    return text.str();
  }
  void Kill() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  // Holds it as it is: the kernel still takes connections for it.
  void Freeze() { kill(pid_, SIGSTOP); }

 protected:
  EgressProxy() : folder_(MakeUnprivilegedFolder()), port_(FreePortOfLoopback()) {}

  const std::string& folder() const { return folder_; }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
    GiveToUnprivileged(folder_ + "/" + name);
  }
  void Start(const std::vector<std::string>& command) {
    pid_ = StartUnprivileged(command, folder_ + "/output");
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!IsListening()) {
      if (waitpid(pid_, nullptr, WNOHANG) == pid_ || std::chrono::steady_clock::now() > give_up) {
        throw std::runtime_error(
            command[0] + " did not start: deploy/install.sh --tests brings it; log in " + folder_);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

 private:
  bool IsListening() const {
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool is_there =
        connect(probe, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    close(probe);
    return is_there;
  }

  const std::string folder_;
  const int port_;
  int pid_ = 0;
};

// Debian's squid, which keeps nothing.
class Squid : public EgressProxy {
 public:
  struct Options {
    bool wants_credentials = false;
    bool denies = false;           // every tunnel: 403
    std::string certificate = "";  // PEM, and `key`: its port speaks TLS
    std::string key = "";
  };
  explicit Squid(const Options& options) {
    const bool tls = !options.certificate.empty();
    Write("cert.pem", options.certificate);
    Write("key.pem", options.key);
    // The hash of kProxyPassword, by `openssl passwd -5`.
    Write("users",
          std::string(kProxyUser) + ":$5$abcdefgh$qmEOxvuKjJSjauL4mnGYw9A8N9NG3rfK/tq9Z24P8U.\n");
    std::string config = tls ? "https_port" : "http_port";
    config += " 127.0.0.1:" + std::to_string(port());
    if (tls) config += " tls-cert=" + folder() + "/cert.pem tls-key=" + folder() + "/key.pem";
    config += "\npid_filename none\ncache deny all\ncache_mem 1 MB\nmemory_cache_shared off\n";
    config += "logformat requests %rm %ru %>Hs\n";
    config += "access_log stdio:" + folder() + "/requests logformat=requests\n";
    config += "cache_log " + folder() + "/log\ncoredump_dir " + folder() + "\n";
    config += "buffered_logs off\nnetdb_filename none\npinger_enable off\n";
    config += "visible_hostname proxy.test\n";
    if (options.wants_credentials) {
      config += "auth_param basic program /usr/lib/squid/basic_ncsa_auth " + folder() + "/users\n";
      config += "auth_param basic children 1 startup=1\nacl known proxy_auth REQUIRED\n";
      config += "http_access allow known\n";
    } else {
      config += options.denies ? "http_access deny all\n" : "http_access allow all\n";
    }
    Write("squid.conf", config);
    Start({"/usr/sbin/squid", "-N", "-n", name_, "-f", folder() + "/squid.conf"});
  }
  Squid() : Squid(Options{}) {}
  // What it shares with its helpers is named after it, and outlives one that is killed.
  ~Squid() {
    Kill();
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", ignored)) {
      if (entry.path().filename().string().starts_with(name_ + "-")) {
        std::filesystem::remove(entry.path(), ignored);
      }
    }
  }

 private:
  const std::string name_ = "squid" + std::to_string(port());
};

// Debian's tinyproxy.
class Tinyproxy : public EgressProxy {
 public:
  explicit Tinyproxy(bool wants_credentials = false) {
    std::string config = "Port " + std::to_string(port()) + "\nListen 127.0.0.1\nTimeout 600\n";
    config += "Allow 127.0.0.1\nLogFile \"" + folder() + "/requests\"\nLogLevel Info\n";
    config += "MaxClients 100\n";
    if (wants_credentials) {
      config += std::string("BasicAuth ") + kProxyUser + " " + kProxyPassword + "\n";
    }
    Write("tinyproxy.conf", config);
    Start({"/usr/bin/tinyproxy", "-d", "-c", folder() + "/tinyproxy.conf"});
  }
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_EGRESS_PROXIES_H_
