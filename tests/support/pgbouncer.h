#ifndef LEASE_GATEWAY_TESTS_SUPPORT_PGBOUNCER_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_PGBOUNCER_H_

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/support/postgres_server.h"

namespace leasegateway {

// Debian's pgbouncer before a server, in transaction mode: each transaction may get another one of
// `sessions` sessions. Ends with this object.
class Pgbouncer {
 public:
  // `settings`: more lines of its [pgbouncer] section.
  explicit Pgbouncer(const PostgresServer& server, int sessions = 2,
                     const std::string& settings = "")
      : folder_(MakeUnprivilegedFolder()), port_(FreePortOfLoopback()) {
    const std::string config = folder_ + "/pgbouncer.ini";
    std::ofstream(config) << "[databases]\n* = host=" << server.folder()
                          << " port=" << server.port() << "\n[pgbouncer]\n"
                          << "listen_addr = 127.0.0.1\nlisten_port = " << port_
                          << "\nunix_socket_dir = \nauth_type = trust\nauth_file = " << folder_
                          << "/users\npool_mode = transaction\ndefault_pool_size = " << sessions
                          << "\n"
                          << settings << "\n";
    std::ofstream(folder_ + "/users") << "\"lease\" \"\"\n";
    pid_ = StartUnprivileged({"/usr/sbin/pgbouncer", config}, folder_ + "/log");
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!IsListening()) {
      if (waitpid(pid_, nullptr, WNOHANG) == pid_ || std::chrono::steady_clock::now() > give_up) {
        throw std::runtime_error(
            "pgbouncer did not start: deploy/install.sh --tests brings it; log in " + folder_);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  ~Pgbouncer() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Pgbouncer(const Pgbouncer&) = delete;
  Pgbouncer& operator=(const Pgbouncer&) = delete;

  // A setting by which it knows nothing of prepared statements, as all before 1.21.
  static std::string WithoutPreparedStatements() {
    FILE* const program = popen("/usr/sbin/pgbouncer --version", "r");
    int major = 0;
    int minor = 0;
    const int found = program == nullptr ? 0 : fscanf(program, "PgBouncer %d.%d", &major, &minor);
    if (program != nullptr) pclose(program);
    return found == 2 && (major > 1 || minor >= 21) ? "max_prepared_statements = 0" : "";
  }

  std::string Url(const std::string& database) const {
    return "postgresql://lease@127.0.0.1:" + std::to_string(port_) + "/" + database;
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

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_PGBOUNCER_H_
