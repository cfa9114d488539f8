#include "tests/support/postgres_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace leasegateway {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kStartLimit{60};
constexpr std::chrono::milliseconds kPollPause{20};

const passwd& Unprivileged() {
  const passwd* const user = getpwnam("postgres");
  if (user == nullptr) {
    throw std::runtime_error("no user postgres: deploy/install.sh --tests brings PostgreSQL");
  }
  return *user;
}

// In the child, after fork.
[[noreturn]] void BecomeProgram(const std::vector<std::string>& command, const std::string& log,
                                const passwd* user, int parent) {
  setpgid(0, 0);
  // A test that dies takes its servers along.
  prctl(PR_SET_PDEATHSIG, SIGQUIT);
  if (getppid() != parent) _exit(126);
  const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  if (user != nullptr && (initgroups(user->pw_name, user->pw_gid) != 0 ||
                          setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) {
    _exit(126);
  }
  if (user != nullptr) prctl(PR_SET_PDEATHSIG, SIGQUIT);  // a change of user takes it away
  std::vector<char*> arguments;
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

void RunToEnd(const std::vector<std::string>& command, const std::string& log) {
  const int pid = StartUnprivileged(command, log);
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  std::ifstream words(log);
  throw std::runtime_error(command[0] +
                           " failed: " + std::string(std::istreambuf_iterator<char>(words), {}));
}

void InitDb(const std::string& programs, const std::string& data_folder) {
  RunToEnd({programs + "/initdb", "--pgdata=" + data_folder, "--username=lease", "--auth=trust",
            "--encoding=UTF8", "--locale=C", "--no-sync"},
           data_folder + ".log");
}

// A copy takes a fraction of the time, and each test of CTest is a process.
void MakeDataFolder(const std::string& programs, const std::string& data_folder) {
  const std::string kept =
      POSTGRES_TEMPLATE "-" + fs::path(programs).parent_path().filename().string();
  if (fs::exists(kept)) {
    fs::copy(kept, data_folder, fs::copy_options::recursive);
    GiveToUnprivileged(data_folder);
    for (const auto& entry : fs::recursive_directory_iterator(data_folder)) {
      GiveToUnprivileged(entry.path());
    }
    return;
  }
  InitDb(programs, data_folder);
  const std::string making = kept + "." + std::to_string(getpid());
  std::error_code others_were_first;
  fs::copy(data_folder, making, fs::copy_options::recursive);
  fs::rename(making, kept, others_were_first);
  if (others_were_first) fs::remove_all(making, others_were_first);
}

// False for one that has ended and that nobody has waited for yet.
bool IsAlive(int process) {
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(stat, text);
  const auto name_end = text.rfind(") ");
  return name_end != std::string::npos && text[name_end + 2] != 'Z' && text[name_end + 2] != 'X';
}

// The System V shared memory that these processes made and nobody has attached (proc(5),
// sysvipc). A server removes its own at its end, but not one that is killed; the system has 4,096.
void RemoveSharedMemoryOf(const std::vector<int>& processes) {
  std::ifstream table("/proc/sysvipc/shm");
  std::string line;
  std::getline(table, line);  // titles
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::string key, mode, size;
    int id = 0, creator = 0, last = 0, attached = 0;
    fields >> key >> id >> mode >> size >> creator >> last >> attached;
    if (attached == 0 &&
        std::find(processes.begin(), processes.end(), creator) != processes.end()) {
      shmctl(id, IPC_RMID, nullptr);
    }
  }
}

}  // namespace

std::string PostgresPrograms() {
  if (const char* const named = std::getenv("LEASE_GATEWAY_POSTGRES_BIN")) return named;
  int newest = 0;
  std::error_code error;
  for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", error)) {
    if (fs::exists(version.path() / "bin/initdb")) {
      newest = std::max(newest, std::atoi(version.path().filename().c_str()));
    }
  }
  return newest == 0 ? "" : "/usr/lib/postgresql/" + std::to_string(newest) + "/bin";
}

int FreePortOfLoopback() {
  static std::atomic<int> next{25'000 + static_cast<int>(getpid() % 600) * 10};
  for (int tries = 0; tries < 1'000; ++tries) {
    const int port = next++;
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool is_free = bind(probe, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    close(probe);
    if (is_free) return port;
  }
  throw std::runtime_error("no free port of loopback");
}

int StartUnprivileged(const std::vector<std::string>& command, const std::string& log) {
  const passwd* const user = geteuid() == 0 ? &Unprivileged() : nullptr;
  const int parent = getpid();
  const int pid = fork();
  if (pid == 0) BecomeProgram(command, log, user, parent);
  if (pid < 0) throw std::runtime_error("no process for " + command[0]);
  return pid;
}

void GiveToUnprivileged(const std::string& path) {
  if (geteuid() != 0) return;
  const auto& user = Unprivileged();
  if (chown(path.c_str(), user.pw_uid, user.pw_gid) != 0) {
    throw std::runtime_error("can't give away " + path);
  }
}

std::string MakeUnprivilegedFolder() {
  std::string folder = (fs::temp_directory_path() / "lease-gateway-postgres-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("no folder " + folder);
  chmod(folder.c_str(), 0755);
  GiveToUnprivileged(folder);
  return folder;
}

PostgresServer& PostgresServer::Shared() {
  static PostgresServer server;
  return server;
}

PostgresServer::PostgresServer() : PostgresServer(Options{}) {}

PostgresServer::PostgresServer(const Options& options) {
  const std::string programs = PostgresPrograms();
  if (programs.empty()) {
    throw std::runtime_error("PostgreSQL is not installed: deploy/install.sh --tests brings it");
  }
  folder_ = MakeUnprivilegedFolder();
  data_folder_ = folder_ + "/data";
  port_ = FreePortOfLoopback();
  MakeDataFolder(programs, data_folder_);
  std::ofstream settings(data_folder_ + "/postgresql.conf", std::ios::app);
  settings << "listen_addresses = '127.0.0.1'\nport = " << port_ << "\nunix_socket_directories = '"
           << folder_
           << "'\nshared_buffers = 32MB\nmax_connections = 100\nautovacuum = on\n"
           // Else a server that is killed would leave its own in /dev/shm.
           << "dynamic_shared_memory_type = mmap\n"
           << "log_line_prefix = '%m [%p] %q%u@%d '\nfsync = " << (options.fsync ? "on" : "off")
           << "\n";
  for (const auto& line : options.settings) settings << line << "\n";
  settings.close();
  std::ofstream(data_folder_ + "/pg_hba.conf")
      << "local all all trust\nlocal replication all trust\n"
      << "host all +needs_password 127.0.0.1/32 scram-sha-256\n"
      << "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n";
  Start();
}

PostgresServer::~PostgresServer() {
  if (pid_ > 0) Kill();
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

void PostgresServer::Start() {
  pid_ = StartUnprivileged({PostgresPrograms() + "/postgres", "-D", data_folder_},
                           folder_ + "/server.log");
  const auto give_up = steady_clock::now() + kStartLimit;
  while (PQping(Url("postgres").c_str()) != PQPING_OK) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      throw std::runtime_error("the server ended: " + LastWords());
    }
    if (steady_clock::now() > give_up) {
      Kill();
      throw std::runtime_error("the server did not start: " + LastWords());
    }
    std::this_thread::sleep_for(kPollPause);
  }
}

void PostgresServer::Stop() {
  kill(pid_, SIGINT);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

// Each session is a process in a group of its own.
std::vector<int> PostgresServer::Signal(int signal) const {
  const std::string children =
      "/proc/" + std::to_string(pid_) + "/task/" + std::to_string(pid_) + "/children";
  // The first may begin no more of them.
  kill(pid_, signal == SIGCONT ? SIGCONT : SIGSTOP);
  std::ifstream list(children);
  std::vector<int> signalled;
  for (int child = 0; list >> child;) {
    kill(child, signal);
    signalled.push_back(child);
  }
  kill(pid_, signal);
  return signalled;
}

void PostgresServer::Kill() {
  std::vector<int> processes = Signal(SIGKILL);
  waitpid(pid_, nullptr, 0);
  // A server doesn't start while a process of the one before has its shared memory.
  const auto give_up = steady_clock::now() + kStartLimit;
  for (const int child : processes) {
    while (IsAlive(child) && steady_clock::now() < give_up) {
      std::this_thread::sleep_for(kPollPause);
    }
  }
  processes.push_back(pid_);
  pid_ = 0;
  RemoveSharedMemoryOf(processes);
}

void PostgresServer::Restart() {
  Stop();
  Start();
}

void PostgresServer::Freeze() { Signal(SIGSTOP); }

void PostgresServer::Resume() { Signal(SIGCONT); }

std::string PostgresServer::Url(const std::string& database) const {
  return "postgresql://lease@/" + database + "?host=" + folder_ + "&port=" + std::to_string(port_);
}

std::string PostgresServer::TcpUrl(const std::string& database) const {
  return "postgresql://lease@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

std::string PostgresServer::CreateDatabase() {
  static std::atomic<int> next{1};
  std::string name = "test_" + std::to_string(next++);
  Query("postgres", "CREATE DATABASE " + name);
  return name;
}

std::vector<std::string> PostgresServer::Query(const std::string& database,
                                               const std::string& sql) const {
  const std::unique_ptr<PGconn, void (*)(PGconn*)> connection(PQconnectdb(Url(database).c_str()),
                                                              PQfinish);
  const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQexec(connection.get(), sql.c_str()),
                                                              PQclear);
  const auto status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    throw std::runtime_error(PQerrorMessage(connection.get()));
  }
  std::vector<std::string> rows;
  for (int row = 0; row < PQntuples(result.get()); ++row) {
    std::string joined;
    for (int column = 0; column < PQnfields(result.get()); ++column) {
      if (column > 0) joined += '|';
      joined += PQgetvalue(result.get(), row, column);
    }
    rows.push_back(std::move(joined));
  }
  return rows;
}

std::string PostgresServer::Log() const {
  std::ifstream log(folder_ + "/server.log");
  return {std::istreambuf_iterator<char>(log), {}};
}

bool PostgresServer::HasLogged(const std::string& text) const {
  return Log().find(text) != std::string::npos;
}

std::string PostgresServer::LastWords() const {
  const std::string words = Log();
  return words.substr(words.size() - std::min<std::size_t>(words.size(), 1'000));
}

}  // namespace leasegateway
