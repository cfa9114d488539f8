#include "service/leasectl/commands.h"

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/leasectl/print.h"
#include "service/leasectl/report.h"
#include "service/leasectl/table.h"
#include "service/leasectl/time_range.h"
#include "service/leasectl/whoami.h"

namespace leasegateway {
namespace {

using Kind = CallFacts::Kind;
using Stub = v1::LeaseService::Stub;

// A random UUID (RFC 9562, version 4).
std::string MakeRequestId() {
  std::random_device random;
  unsigned char bytes[16];
  for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  std::string id;
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) id += '-';
    absl::StrAppend(&id, absl::Hex(bytes[i], absl::kZeroPad2));
  }
  return id;
}

// The given id, or a new one, which is shown before anything is sent so that it is not lost.
std::string RequestId(const CommandOptions& options) {
  if (options.request_id) return *options.request_id;
  const std::string id = MakeRequestId();
  PrintError(absl::StrCat("request_id: ", id, "\n"));
  return id;
}

bool IsJson(const CommandOptions& options) { return options.json || options.format == "json"; }

// The reply's age goes to standard error before it.
template <class Reply>
ExitCode PrintReply(const Reply& reply, const CommandOptions& options) {
  if constexpr (requires { reply.metadata(); }) PrintAge(options, reply.metadata());
  if (!IsJson(options)) return PrintOutput(Print(reply, IsColored(options)));
  const std::optional<std::string> json = ToJson(reply, JsonLayout::kIndented);
  return json ? PrintOutput(*json) : kOther;
}

template <class Request, class Reply>
ExitCode Call(const CommandOptions& options, const CallFacts& facts,
              Client::Method<Request, Reply> method, const Request& request) {
  Reply reply;
  const auto failure = Client(options).Call(facts, method, request, reply);
  return failure ? *failure : PrintReply(reply, options);
}

// For the calls whose request is the number alone.
template <class Request, class Reply>
ExitCode CallForNumber(const CommandOptions& options, const CallFacts& facts,
                       Client::Method<Request, Reply> method) {
  Request request;
  request.set_phone_number(options.number);
  if constexpr (requires { request.max_staleness(); }) options.staleness.ApplyTo(request);
  return Call(options, facts, method, request);
}

CallFacts Facts(Kind kind, std::string look = "") {
  CallFacts facts;
  facts.kind = kind;
  facts.look = std::move(look);
  return facts;
}

// As JSON the reply has the token itself.
template <class Reply>
void PrintNextPage(const CommandOptions& options, const Reply& reply) {
  if (options.json || reply.next_page_token().empty()) return;
  PrintError(absl::StrCat("next page: --page-token ", Harmless(reply.next_page_token()), "\n"));
}

// The numbers that were named, with those on standard input in the place of "-".
std::optional<std::vector<std::string>> NumbersOf(const CommandOptions& options) {
  std::vector<std::string> numbers;
  for (const std::string& argument : options.numbers) {
    if (argument != "-") {
      numbers.push_back(argument);
      continue;
    }
    for (std::string line; std::getline(std::cin, line);) {
      const absl::string_view number = absl::StripAsciiWhitespace(line);
      if (!number.empty()) numbers.emplace_back(number);
    }
    if (std::cin.bad()) {
      FailLocally("standard input can't be read");
      return std::nullopt;
    }
  }
  return numbers;
}

// A call under a `request_id`, which a failure's hint repeats.
template <class Request, class Reply>
ExitCode Purchase(const CommandOptions& options, Client::Method<Request, Reply> method,
                  Request request) {
  CallFacts facts = Facts(options.validate_only ? Kind::kRead : Kind::kPurchase);
  facts.request_id = options.validate_only ? options.request_id.value_or("") : RequestId(options);
  request.set_request_id(facts.request_id);
  if constexpr (requires { request.validate_only(); }) {
    request.set_validate_only(options.validate_only);
    if (options.billing == "monthly") request.set_billing_method(v1::BILLING_METHOD_MONTHLY);
    if (options.billing == "service_contract") {
      request.set_billing_method(v1::BILLING_METHOD_SERVICE_CONTRACT);
    }
  }
  return Call(options, facts, method, request);
}

constexpr std::int32_t kOperationsOfWalk = 1000;  // a page

// The kind that "lease-any" or the like names; empty: any.
v1::OperationKind KindOf(const std::string& word) {
  v1::OperationKind kind = v1::OPERATION_KIND_UNSPECIFIED;
  v1::OperationKind_Parse(
      "OPERATION_KIND_" + absl::StrReplaceAll(absl::AsciiStrToUpper(word), {{"-", "_"}}), &kind);
  return kind;
}

// The account that was asked for, or all on which the caller sees operations. Says of which it sees
// its own only.
std::vector<std::string> AccountsOfReport(const CommandOptions& options,
                                          const v1::WhoAmIResponse& self) {
  std::vector<std::string> accounts;
  if (!options.account.empty()) accounts.push_back(options.account);
  for (const v1::AccountAccess& access : self.accounts()) {
    if (!SeesOperations(access)) continue;
    if (options.account.empty()) accounts.push_back(access.account());
    if (SeesAllOperations(access)) continue;
    PrintError(absl::StrCat("leasectl: on ", Harmless(access.account()), " only what ",
                            Harmless(self.caller()),
                            " bought: the right see_all_operations shows everybody's\n"));
  }
  return accounts;
}

// Walks all pages of the request.
std::optional<ExitCode> AddOperations(Client& client, v1::ListOperationsRequest request,
                                      SpendingReport& report) {
  do {
    v1::ListOperationsResponse page;
    const auto failure = client.Call(Facts(Kind::kRead), &Stub::ListOperations, request, page);
    if (failure) return failure;
    for (const v1::Operation& operation : page.operations()) {
      // Gateways that don't know the filter bring both kinds each time.
      if (operation.kind() == request.kind()) report.Add(operation);
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return std::nullopt;
}

}  // namespace

// Walks the pages of a search, or brings one of them.
ExitCode Available(const CommandOptions& options) {
  constexpr std::int32_t kPageSizeOfWalk = 1000;
  v1::ListAvailableNumbersRequest request;
  const v1::AvailabilityFilter filter = options.search.Filter();
  if (filter.ByteSizeLong() > 0) *request.mutable_filter() = filter;
  request.set_order_by(options.order_by);
  request.set_page_size(options.page_size.value_or(options.all_pages ? kPageSizeOfWalk : 0));
  request.set_page_token(options.page_token);
  options.staleness.ApplyTo(request);
  Client client(options);
  v1::ListAvailableNumbersResponse list;
  for (;;) {
    v1::ListAvailableNumbersResponse page;
    const auto failure =
        client.Call(Facts(Kind::kRead), &Stub::ListAvailableNumbers, request, page);
    if (failure) return *failure;
    // All pages show the list as it was at the first one, whose age is that of the list.
    const bool first = !list.has_metadata();
    list.mutable_numbers()->MergeFrom(page.numbers());
    list.set_next_page_token(page.next_page_token());
    list.set_total_size(page.total_size());
    if (first) *list.mutable_metadata() = page.metadata();
    if (!options.all_pages || page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
  }
  const ExitCode printed = PrintReply(list, options);
  PrintNextPage(options, list);
  return printed;
}

ExitCode Get(const CommandOptions& options) {
  return CallForNumber(options, Facts(Kind::kRead), &Stub::GetNumber);
}

ExitCode Batch(const CommandOptions& options) {
  constexpr std::size_t kMostInOneCall = 1000;
  const auto numbers = NumbersOf(options);
  if (!numbers) return kLocalFailure;
  if (numbers->empty()) {
    PrintError("leasectl: NUMBER: standard input has no numbers, one a line\n");
    return kUsage;
  }
  Client client(options);
  v1::BatchGetNumbersResponse list;
  std::optional<ExitCode> failure;
  for (std::size_t begin = 0; begin < numbers->size() && !failure; begin += kMostInOneCall) {
    v1::BatchGetNumbersRequest request;
    const std::size_t end = std::min(numbers->size(), begin + kMostInOneCall);
    for (std::size_t i = begin; i < end; ++i) request.add_phone_numbers((*numbers)[i]);
    options.staleness.ApplyTo(request);
    v1::BatchGetNumbersResponse reply;
    failure = client.Call(Facts(Kind::kRead), &Stub::BatchGetNumbers, request, reply);
    list.mutable_results()->MergeFrom(reply.results());
  }
  // What came before a failed call is worth printing.
  if (failure && list.results().empty()) return *failure;
  const v1::ResponseMetadata* oldest = nullptr;
  for (const v1::BatchGetNumbersResult& result : list.results()) {
    if (!result.metadata().has_fetch_time()) continue;
    if (oldest == nullptr ||
        TimeOf(result.metadata().fetch_time()) < TimeOf(oldest->fetch_time())) {
      oldest = &result.metadata();
    }
  }
  if (oldest != nullptr) PrintAge(options, *oldest);
  const ExitCode printed = PrintReply(list, options);
  if (failure) return *failure;
  if (printed != kDone) return printed;
  for (const v1::BatchGetNumbersResult& result : list.results()) {
    if (result.has_error()) return ExitCodeOf(StatusOf(result.error()).error_code());
  }
  return kDone;
}

ExitCode Lease(const CommandOptions& options) {
  v1::CreateLeaseRequest request;
  request.set_phone_number(options.number);
  v1::Pricing& price = *request.mutable_expected_price();
  if (options.expect_monthly) {
    *price.mutable_monthly_rate() = ParseMoney(*options.expect_monthly).value();
  }
  if (options.expect_upfront) {
    *price.mutable_upfront_fee() = ParseMoney(*options.expect_upfront).value();
  }
  if (!options.expect_monthly && !options.expect_upfront) request.clear_expected_price();
  return Purchase(options, &Stub::CreateLease, std::move(request));
}

ExitCode LeaseAny(const CommandOptions& options) {
  v1::LeaseAnyNumberRequest request;
  *request.mutable_filter() = options.search.Filter();
  request.set_order_by(options.order_by);
  return Purchase(options, &Stub::LeaseAnyNumber, std::move(request));
}

ExitCode Leases(const CommandOptions& options) {
  v1::ListLeasesRequest request;
  options.staleness.ApplyTo(request);
  return Call(options, Facts(Kind::kRead), &Stub::ListLeases, request);
}

ExitCode Show(const CommandOptions& options) {
  return CallForNumber(options, Facts(Kind::kRead), &Stub::GetLease);
}

ExitCode Terminate(const CommandOptions& options) {
  v1::TerminateLeaseRequest request;
  request.set_phone_number(options.number);
  request.set_lease_id(options.lease_id);
  return Purchase(options, &Stub::TerminateLease, std::move(request));
}

ExitCode Failover(const CommandOptions& options) {
  v1::ConfigureFailoverRequest request;
  request.set_phone_number(options.number);
  v1::Failover& failover = *request.mutable_failover();
  failover.set_enabled(options.enable);
  if (options.mode == "all") failover.set_mode(v1::FAILOVER_MODE_ALL);
  // Naming numbers can mean nothing else.
  if (options.mode == "selective" || (options.mode.empty() && !options.cover.empty())) {
    failover.set_mode(v1::FAILOVER_MODE_SELECTIVE);
  }
  failover.mutable_phone_numbers()->Add(options.cover.begin(), options.cover.end());
  return Call(options, Facts(Kind::kChange), &Stub::ConfigureFailover, request);
}

// Walks the pages, or brings one of them.
ExitCode Operations(const CommandOptions& options) {
  v1::ListOperationsRequest request;
  if (options.from)
    *request.mutable_start_time() = ToTimestamp(ParseInstant(*options.from).value());
  if (options.to) *request.mutable_end_time() = ToTimestamp(ParseInstant(*options.to).value());
  if (options.from && options.to && TimeOf(request.start_time()) >= TimeOf(request.end_time())) {
    PrintError("leasectl: --from must be before --to\n");
    return kUsage;
  }
  request.set_caller(options.caller);
  request.set_kind(KindOf(options.kind));
  request.set_phone_number(options.number);
  v1::OperationState state = v1::OPERATION_STATE_UNSPECIFIED;
  v1::OperationState_Parse("OPERATION_STATE_" + absl::AsciiStrToUpper(options.state), &state);
  request.set_state(state);
  request.set_page_size(options.page_size.value_or(options.all_pages ? kOperationsOfWalk : 0));
  request.set_page_token(options.page_token);
  Client client(options);
  v1::ListOperationsResponse list;
  do {
    v1::ListOperationsResponse page;
    const auto failure = client.Call(Facts(Kind::kRead), &Stub::ListOperations, request, page);
    if (failure) return *failure;
    list.mutable_operations()->MergeFrom(page.operations());
    list.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (options.all_pages && !list.next_page_token().empty());
  const ExitCode printed = PrintReply(list, options);
  PrintNextPage(options, list);
  return printed;
}

ExitCode Operation(const CommandOptions& options) {
  v1::GetOperationRequest request;
  request.set_request_id(options.request_id.value_or(""));
  return Call(options, Facts(Kind::kRead), &Stub::GetOperation, request);
}

// Of each account: its purchases of both kinds, a page at a time.
ExitCode Report(const CommandOptions& options) {
  Client client(options);
  v1::WhoAmIResponse self;
  if (const auto failure =
          client.Call(Facts(Kind::kRead), &Stub::WhoAmI, v1::WhoAmIRequest(), self)) {
    return *failure;
  }
  const std::vector<std::string> accounts = AccountsOfReport(options, self);
  if (accounts.empty()) {
    PrintError(
        absl::StrCat("leasectl: ", Harmless(self.caller()),
                     " may see the operations of no account\n  hint: `leasectl whoami` shows "
                     "your accounts and rights\n"));
    return kDenied;
  }
  SpendingReport report(ParseMonth(options.month).value());
  for (const std::string& account : accounts) {
    for (const v1::OperationKind kind : {v1::OPERATION_KIND_LEASE, v1::OPERATION_KIND_LEASE_ANY}) {
      v1::ListOperationsRequest request;
      request.set_account(account);
      request.set_state(v1::OPERATION_STATE_SUCCEEDED);
      request.set_kind(kind);
      *request.mutable_start_time() = ToTimestamp(report.month().start);
      *request.mutable_end_time() = ToTimestamp(report.month().end);
      request.set_page_size(kOperationsOfWalk);
      if (const auto failure = AddOperations(client, std::move(request), report)) {
        return *failure;
      }
    }
  }
  if (IsJson(options)) return PrintOutput(FormatJson(report));
  if (options.format == "csv") return PrintOutput(FormatCsv(report));
  return PrintOutput(FormatTable(report, IsColored(options)));
}

ExitCode WhoAmI(const CommandOptions& options) {
  return Call(options, Facts(Kind::kRead), &Stub::WhoAmI, v1::WhoAmIRequest());
}

ExitCode GetForwarding(const CommandOptions& options) {
  return CallForNumber(options, Facts(Kind::kRead), &Stub::GetCallForwarding);
}

ExitCode EnableForwarding(const CommandOptions& options) {
  v1::EnableCallForwardingRequest request;
  request.set_phone_number(options.number);
  request.set_forward_to(options.forward_to);
  return Call(options, Facts(Kind::kChange, "leasectl forwarding get " + options.number),
              &Stub::EnableCallForwarding, request);
}

ExitCode DisableForwarding(const CommandOptions& options) {
  return CallForNumber(options, Facts(Kind::kChange, "leasectl forwarding get " + options.number),
                       &Stub::DisableCallForwarding);
}

}  // namespace leasegateway
