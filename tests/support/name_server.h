#ifndef LEASE_GATEWAY_TESTS_SUPPORT_NAME_SERVER_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_NAME_SERVER_H_

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace leasegateway {

// tests/support/name_server.py as a process, which ends with this.
class NameServer {
 public:
  // What it knows at first, see Set. Port 0: any free one.
  explicit NameServer(const std::string& names = "{}", const std::string& address = "127.0.0.1",
                      int port = 0)
      : address_(address) {
    int to[2];
    int from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    std::vector<std::string> words = {
        "/usr/bin/python3", SOURCE_DIR "/tests/support/name_server.py",
        "--address",        address,
        "--port",           std::to_string(port)};
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    to_ = fdopen(to[1], "w");
    from_ = fdopen(from[0], "r");
    const std::string line = Line();
    if (line.empty()) {
      throw std::runtime_error("no name server: deploy/install.sh --tests brings python3-dnslib");
    }
    port_ = std::stoi(line);
    Set(names);
  }
  ~NameServer() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    fclose(to_);
    fclose(from_);
  }
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  int port() const { return port_; }
  // As c-ares and the option dns_servers have it.
  std::string server() const { return address_ + ":" + std::to_string(port_); }

  // JSON: name_server.py has the words.
  void Set(std::string names) {
    std::replace(names.begin(), names.end(), '\n', ' ');
    if (Tell("set " + names) != "ok")
      throw std::runtime_error("the name server takes not " + names);
  }

  // The questions so far that went for `name`, as "A over udp", in their order.
  std::vector<std::string> Asked(const std::string& name) {
    std::vector<std::string> asked;
    const auto all = boost::json::parse(Tell("asked"));
    for (const auto& entry : all.as_array()) {
      if (entry.at("name").as_string() != name) continue;
      asked.push_back(std::string(entry.at("type").as_string()) + " over " +
                      std::string(entry.at("over").as_string()));
    }
    return asked;
  }
  // Their names.
  std::vector<std::string> AskedNames(const std::string& type) {
    std::vector<std::string> names;
    const auto all = boost::json::parse(Tell("asked"));
    for (const auto& entry : all.as_array()) {
      if (entry.at("type").as_string() == type) names.emplace_back(entry.at("name").as_string());
    }
    return names;
  }

 private:
  std::string Tell(const std::string& line) {
    fputs((line + "\n").c_str(), to_);
    fflush(to_);
    return Line();
  }
  std::string Line() {
    std::string line;
    for (int c = fgetc(from_); c != EOF && c != '\n'; c = fgetc(from_)) {
      line += static_cast<char>(c);
    }
    return line;
  }

  const std::string address_;
  pid_t pid_ = -1;
  FILE* to_ = nullptr;
  FILE* from_ = nullptr;
  int port_ = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_NAME_SERVER_H_
