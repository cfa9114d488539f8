#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_CLIENT_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/leasectl/errors.h"
#include "service/leasectl/global_options.h"
#include "service/leasectl/token_file.h"

namespace leasegateway {

void PrintError(const std::string& text);
ExitCode FailLocally(const std::string& what);

// Writes to standard output and flushes. A reader that has seen enough, as in
// `leasectl leases | head`, is no failure.
ExitCode PrintOutput(const std::string& text);

bool IsColored(const GlobalOptions& options);

// The message as JSON, or nothing after saying why: over several lines, or on one without its end.
enum class JsonLayout { kIndented, kOneLine };
std::optional<std::string> ToJson(const google::protobuf::Message& message, JsonLayout layout);

// The channel, or null after saying why, as when a token would go where others can read it. Without
// calls in flight it sends nothing; with some, it pings the gateway after `silence`, so that one
// that has vanished is noticed.
std::shared_ptr<grpc::Channel> MakeChannel(const GlobalOptions& options,
                                           absl::Duration silence = absl::InfiniteDuration());

// Sends the token, if there is one, with the call; an exit code after saying why it can't be read.
std::optional<ExitCode> AddToken(TokenFile& token, grpc::ClientContext& context);

absl::Duration Timeout(const GlobalOptions& options);

// With --verbose: how the gateway's memory answered (RFC 9211). The call must have ended, or have
// brought a message.
void PrintCacheStatus(const GlobalOptions& options, const grpc::ClientContext& context);

// "3s" for 3.2 s, "250ms" for less than a second, "0s" for a time to come.
std::string AgeWords(absl::Duration age);

// With --verbose: how old the answer is.
void PrintAge(const GlobalOptions& options, const v1::ResponseMetadata& metadata);

// Calls over one connection. Each has a deadline of its own, --timeout.
class Client {
 public:
  using Invoke = std::function<grpc::Status(grpc::Channel&, grpc::ClientContext&)>;
  template <class Request, class Reply>
  using Method = grpc::Status (v1::LeaseService::Stub::*)(grpc::ClientContext*, const Request&,
                                                          Reply*);

  // Borrows the options.
  explicit Client(const GlobalOptions& options) : options_(options), token_(options.token_file) {}

  // Connects, makes the call and explains a failure; nothing when the call succeeded.
  std::optional<ExitCode> Call(CallFacts facts, const Invoke& invoke);

  // The same, for the account of the options unless the request names one.
  template <class Request, class Reply>
  std::optional<ExitCode> Call(const CallFacts& facts, Method<Request, Reply> method,
                               Request request, Reply& reply) {
    if (request.account().empty()) request.set_account(options_.account);
    return Call(facts, [&](grpc::Channel& channel, grpc::ClientContext& context) {
      // The stub only borrows the channel.
      v1::LeaseService::Stub stub(
          std::shared_ptr<grpc::Channel>(std::shared_ptr<grpc::Channel>(), &channel));
      return (stub.*method)(&context, request, &reply);
    });
  }

 private:
  const GlobalOptions& options_;
  TokenFile token_;
  std::shared_ptr<grpc::Channel> channel_;  // made by the first call
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_CLIENT_H_
