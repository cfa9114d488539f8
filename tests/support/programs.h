#ifndef LEASE_GATEWAY_TESTS_SUPPORT_PROGRAMS_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_PROGRAMS_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace leasegateway {

inline std::string ReadAll(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

// Programs of this project as processes, each ended at the latest with this. Their output is in a
// folder of its own.
class Programs {
 public:
  Programs() {
    std::string pattern = testing::TempDir() + "programsXXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~Programs() {
    for (const pid_t pid : running_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  // Starts a program, of this project or with a path of its own; its output goes to the files
  // NAME.out and NAME.err, its input is NAME.in where there is one.
  pid_t Start(const std::string& name, const std::string& program,
              const std::vector<std::string>& arguments,
              const std::vector<std::string>& environment = {}) {
    const std::string path =
        program.front() == '/' ? program : std::string(BINARY_DIR "/") + program;
    std::vector<char*> argv = {const_cast<char*>(path.c_str())};
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> envp;
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string text = *variable;
      const std::string key = text.substr(0, text.find('='));
      // What these tests talk to is on this machine.
      const bool is_proxy = key.size() > 6 && strcasecmp(&key[key.size() - 6], "_proxy") == 0;
      if (!is_proxy) envp.push_back(*variable);
    }
    for (const auto& variable : environment) envp.push_back(const_cast<char*>(variable.c_str()));
    envp.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    if (std::filesystem::exists(Path(name + ".in"))) {
      posix_spawn_file_actions_addopen(&actions, 0, Path(name + ".in").c_str(), O_RDONLY, 0);
    }
    posix_spawn_file_actions_addopen(&actions, 1, Path(name + ".out").c_str(), flags, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, Path(name + ".err").c_str(), flags, 0600);
    pid_t pid = -1;
    EXPECT_EQ(posix_spawn(&pid, path.c_str(), &actions, nullptr, argv.data(), envp.data()), 0);
    posix_spawn_file_actions_destroy(&actions);
    running_.insert(pid);
    return pid;
  }

  // The exit status of a program that ends within 30 s; -1 when it does not, or is killed.
  int Wait(pid_t pid) {
    for (int i = 0; i < 3000; ++i) {
      int status = 0;
      if (waitpid(pid, &status, WNOHANG) == pid) {
        running_.erase(pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return -1;
  }

  // The text that follows `mark` in a file, up to `end`; waits for it up to 30 s.
  std::string After(const std::string& file, const std::string& mark, const std::string& end) {
    for (int i = 0; i < 3000; ++i) {
      const std::string text = ReadAll(Path(file));
      const auto at = text.find(mark);
      const auto stop = at == text.npos ? at : text.find_first_of(end, at + mark.size());
      if (stop != text.npos) return text.substr(at + mark.size(), stop - at - mark.size());
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "no \"" << mark << "\" in " << ReadAll(Path(file));
    return "";
  }

 private:
  std::string folder_;
  std::set<pid_t> running_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_PROGRAMS_H_
