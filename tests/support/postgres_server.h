#ifndef LEASE_GATEWAY_TESTS_SUPPORT_POSTGRES_SERVER_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_POSTGRES_SERVER_H_

#include <string>
#include <vector>

namespace leasegateway {

// A PostgreSQL server of its own in a temporary folder, with a Unix socket there and a free port of
// loopback. Runs as the user `postgres` where the test is root, because a server refuses to be.
// Its superuser is `lease`. Nobody needs a password but the members of a role `needs_password`,
// over TCP. Stops, and removes the folder, at its end. A failure to start throws std::runtime_error
// with the server's last words.
class PostgresServer {
 public:
  struct Options {
    bool fsync = false;                 // what is committed outlives a crash of the machine
    std::vector<std::string> settings;  // lines of postgresql.conf, such as "max_connections = 10"
  };

  // The one that all tests of a program share; started on first use.
  static PostgresServer& Shared();

  PostgresServer();
  explicit PostgresServer(const Options& options);
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // Waits until it takes connections.
  void Start();
  // Shutdown mode "fast": ends sessions, writes everything.
  void Stop();
  // kill -9 of all of its processes, as in a crash; none of its shared memory stays behind.
  void Kill();
  void Restart();
  // SIGSTOP to all of its processes: connections stand and nothing answers. Resume ends that.
  void Freeze();
  void Resume();
  bool is_running() const { return pid_ > 0; }

  // libpq's URLs of a database for the superuser, over the socket or TCP.
  std::string Url(const std::string& database) const;
  std::string TcpUrl(const std::string& database) const;
  // A fresh empty database with a name that no other has; the name.
  std::string CreateDatabase();

  // Runs SQL as the superuser, blocking, a transaction each call. Rows as text, columns joined by
  // '|'. Throws std::runtime_error with the server's message.
  std::vector<std::string> Query(const std::string& database, const std::string& sql) const;

  int port() const { return port_; }
  const std::string& folder() const { return folder_; }            // holds all else
  const std::string& data_folder() const { return data_folder_; }  // pg_hba.conf and the like
  // Whether a line of the server's log has this text.
  bool HasLogged(const std::string& text) const;

 private:
  std::vector<int> Signal(int signal) const;  // its children, which got it as well
  std::string Log() const;
  std::string LastWords() const;

  std::string folder_;
  std::string data_folder_;
  int port_ = 0;
  int pid_ = 0;
};

// The folder of the newest installed server's programs; empty: none. LEASE_GATEWAY_POSTGRES_BIN
// names another.
std::string PostgresPrograms();

// A free port of loopback, below those that the system hands out. Whoever asks twice gets two.
int FreePortOfLoopback();

// Starts a program as the user `postgres` where the test is root, in a process group of its own,
// its output to `log`; its process id.
int StartUnprivileged(const std::vector<std::string>& command, const std::string& log);
// A new folder in the temporary one that the user `postgres` may write to.
std::string MakeUnprivilegedFolder();
// Gives a file or folder to that user.
void GiveToUnprivileged(const std::string& path);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_POSTGRES_SERVER_H_
