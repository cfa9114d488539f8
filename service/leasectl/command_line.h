#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_COMMAND_LINE_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_COMMAND_LINE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "service/leasectl/commands.h"
#include "service/leasectl/errors.h"

namespace leasegateway {

// What leasectl can be asked for: every command and its flags, and which function a command is.
class CommandLine {
 public:
  CommandLine();
  CommandLine(const CommandLine&) = delete;  // CLI11 keeps pointers into it
  CommandLine& operator=(const CommandLine&) = delete;

  // Does what was asked for, or says what is wrong with it. Called once.
  ExitCode Run(int argc, const char* const* argv);

 private:
  using Action = std::function<ExitCode(const CommandOptions&)>;

  // The command as far as it was understood.
  std::string Command() const;

  CLI::App* Add(CLI::App& parent, const std::string& name, const std::string& description,
                Action action);
  CLI::App* AddForNumber(CLI::App& parent, const std::string& name, const std::string& description,
                         Action action);

  void AddGlobalOptions();
  // The flags that several commands have.
  void AddRequestId(CLI::App* command);
  void AddOrderBy(CLI::App* command);
  void AddPages(CLI::App* command, std::int32_t most, const std::string& size);
  void AddPurchase(CLI::App* command);
  void AddAmount(CLI::App* command, const std::string& name, std::optional<std::string>& value,
                 const std::string& description);
  // For those that print more than a table and the reply's JSON, or whose output programs read.
  void AddFormat(CLI::App* command, const std::vector<std::string>& formats);
  // The commands, in the order in which they are listed.
  void AddSearches();
  void AddNumbers();
  void AddPurchases();
  void AddLeases();
  void AddFailover();
  void AddOperations();
  void AddReport();
  void AddWhoAmI();
  void AddForwarding();

  CommandOptions options_;
  CLI::Option* json_ = nullptr;  // owned by app_
  Action run_;
  CLI::App app_{"Lease Gateway from the command line.", "leasectl"};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_COMMAND_LINE_H_
