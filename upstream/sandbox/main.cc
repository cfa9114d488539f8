// lease-sandbox: the emulator of the provider as a program.

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>

#include "absl/strings/str_split.h"
#include "upstream/sandbox/sandbox.h"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// Accepted keys, from the environment or a file with one on a line: they are secrets.
std::vector<std::string> ReadKeys(const std::string& key_file) {
  std::vector<std::string> keys;
  if (!key_file.empty()) {
    std::ifstream file(key_file);
    for (std::string line; std::getline(file, line);) {
      if (!line.empty()) keys.push_back(line);
    }
  } else if (const char* const listed = ::getenv("LEASE_SANDBOX_KEYS"); listed != nullptr) {
    keys = absl::StrSplit(listed, ',', absl::SkipEmpty());
  }
  return keys;
}

void AddOptions(CLI::App& app, leasegateway::sandbox::SandboxOptions& options,
                std::string& key_file, std::string& ca_out) {
  app.add_option("--address", options.address, "IP address to listen on")->capture_default_str();
  app.add_option("--port", options.port, "HTTPS port; 0: any free one")->capture_default_str();
  app.add_option("--more-ports", options.more_ports,
                 "how many more HTTPS ports, any free ones: what comes in by which one is among "
                 "the control routes' writes")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_option("--control-port", options.control_port,
                 "plain HTTP port of the control routes; 0: any free one")
      ->capture_default_str();
  app.add_option("--numbers", options.numbers, "size of the inventory")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "of the inventory, the key and the random faults")
      ->capture_default_str();
  app.add_option("--key-file", key_file, "accepted API keys, one a line, each an account")
      ->check(CLI::ExistingFile);
  app.add_option("--ca-out", ca_out, "file to write the throw-away CA's certificate to (PEM)");
  app.add_option("--certificate-host", options.certificate_host,
                 "a name in the certificate, beside localhost and 127.0.0.1")
      ->capture_default_str();
  app.add_flag("--gzip", options.gzip, "lists come in gzip, when that is asked for");
  app.add_flag("--validators", options.validators,
               "lists have an ETag and a Last-Modified; 304 when they are as the caller has them");
  app.add_option("--certificate-days", options.certificate_days,
                 "life of the certificate; 0 or less: it has expired")
      ->capture_default_str();
}

}  // namespace

int main(int argc, char** argv) {
  leasegateway::sandbox::SandboxOptions options;
  options.port = 8443;
  options.control_port = 8444;
  std::string ca_out, key_file;
  CLI::App app("Emulates the provider's lease API over HTTPS, with a ledger and faults on demand.",
               "lease-sandbox");
  AddOptions(app, options, key_file, ca_out);
  app.set_version_flag("--version", "lease-sandbox " LEASE_GATEWAY_VERSION);
  app.footer(
      "LEASE_SANDBOX_KEYS may hold accepted API keys, separated by commas.\n"
      "Ends with exit status 0 on SIGTERM and SIGINT, 1 when it can't start, 2 on usage.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  options.keys = ReadKeys(key_file);

  // Blocked before the first thread starts, so that every thread inherits it.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto sandbox = leasegateway::sandbox::Sandbox::Start(options);
  if (!sandbox.ok()) {
    std::cerr << "lease-sandbox: " << sandbox.status().message() << "\n";
    return kExitFailed;
  }
  if (!ca_out.empty()) {
    std::ofstream file(ca_out);
    file << (*sandbox)->ca_certificate();
    if (!file.flush()) {
      std::cerr << "lease-sandbox: --ca-out: can't write \"" << ca_out << "\"\n";
      return kExitFailed;
    }
  }
  for (const std::string& url : (*sandbox)->urls()) std::cout << "url: " << url << "\n";
  std::cout << "control: " << (*sandbox)->control_url() << "/\n"
            << "key: " << (*sandbox)->key() << std::endl;
  int signal = 0;
  sigwait(&signals, &signal);
  return 0;
}
