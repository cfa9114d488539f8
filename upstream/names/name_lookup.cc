#include "upstream/names/name_lookup.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using Kind = DnsAnswer::Kind;

// A server is asked again after its share of the time, then after double that; so all have had two
// turns when it is over.
constexpr int kSharesOfServer = 3;
constexpr std::chrono::milliseconds kLeastTimeout{20};

int ServerCount(const DnsOptions& options, const SystemNames& system) {
  if (options.servers.empty()) return system.servers;
  return 1 + static_cast<int>(std::count(options.servers.begin(), options.servers.end(), ','));
}

// Whether it is "localhost" or a name below that, which no server is to be asked for (RFC
// 6761, 6.3).
bool IsThisHost(absl::string_view host) {
  absl::ConsumeSuffix(&host, ".");
  return absl::EqualsIgnoreCase(host, "localhost") || absl::EndsWithIgnoreCase(host, ".localhost");
}

bool IsFound(const std::optional<DnsAnswer>& answer) {
  return answer && answer->kind == Kind::kFound;
}

// Whether the other family is needed no more: there is an address, or, as a name is there for all
// its families or for none, there can't be one.
bool IsEnough(const std::optional<DnsAnswer>& answer) {
  return answer && (answer->kind == Kind::kFound || answer->kind == Kind::kNoName);
}

std::optional<NameLookup::Found::Addresses> Known(const std::optional<DnsAnswer>& answer) {
  if (!answer || answer->kind == Kind::kRefused || answer->kind == Kind::kNoAnswer) {
    return std::nullopt;
  }
  return answer->addresses;
}

}  // namespace

NameLookup::NameLookup(const asio::any_io_executor& strand, std::string host, DnsOptions options,
                       std::chrono::milliseconds timeout)
    : strand_(strand),
      host_(std::move(host)),
      options_(std::move(options)),
      timeout_(timeout),
      system_(ReadSystemNames(options_.resolv_conf, options_.nsswitch_conf)),
      timer_(strand) {}

asio::awaitable<NameLookup::Found> NameLookup::First(Deadline deadline) {
  for (const char source : system_.sources) {
    if (source == 'f') {
      AskHostsFile();
    } else if (!IsThisHost(host_)) {
      co_await AskServers(deadline);
    }
    if (HasAddress()) break;
  }
  if (!HasAddress() && IsThisHost(host_)) TakeLoopback();
  co_return Result();
}

asio::awaitable<NameLookup::Found> NameLookup::Rest(Deadline deadline) {
  co_await Settle(deadline, std::nullopt);
  co_return Result();
}

void NameLookup::Stop() {
  stopped_ = true;
  timer_.cancel();
}

// Both families at once, so that a host that is written down with one is not dialled at what
// servers say of the other.
void NameLookup::AskHostsFile() {
  DnsChannel::Options options;
  options.source = DnsChannel::Source::kHostsFile;
  options.resolv_conf = options_.resolv_conf;
  const auto channel = DnsChannel::Open(strand_, options);
  if (!channel.ok()) return;
  std::optional<DnsAnswer> answer;
  ++round_;
  Ask(**channel, std::string(absl::StripSuffix(host_, ".")), DnsChannel::Family::kBoth, answer);
  ++round_;  // `answer` is there already, or must not be written to any more
  if (!IsFound(answer)) return;
  ipv4_ = ipv6_ =
      DnsAnswer{.kind = Kind::kNoData, .cause = "", .addresses = {}, .ttl = answer->ttl};
  for (const auto& address : answer->addresses) {
    auto& family = address.is_v4() ? *ipv4_ : *ipv6_;
    family.kind = Kind::kFound;
    family.addresses.push_back(address);
  }
}

void NameLookup::TakeLoopback() {
  ipv4_ = DnsAnswer{.kind = Kind::kFound,
                    .cause = "",
                    .addresses = {asio::ip::address_v4::loopback()},
                    .ttl = std::chrono::hours(1)};
  ipv6_ = ipv4_;
  ipv6_->addresses = {asio::ip::address_v6::loopback()};
}

asio::awaitable<void> NameLookup::AskServers(Deadline deadline) {
  DnsChannel::Options options;
  options.resolv_conf = options_.resolv_conf;
  options.servers = options_.servers;
  options.port = options_.port;
  options.server_count = ServerCount(options_, system_);
  options.always_tcp = system_.always_tcp;
  options.timeout =
      std::max(kLeastTimeout,
               std::min(system_.timeout, timeout_ / (kSharesOfServer * options.server_count)));
  for (auto* channel : {&ipv4_channel_, &ipv6_channel_}) {
    auto opened = DnsChannel::Open(strand_, options);
    if (!opened.ok()) {
      failure_.cause = std::string(opened.status().message());
      co_return;
    }
    *channel = *std::move(opened);
  }
  for (const auto& name : CandidateNames(system_, host_)) {
    ++round_;
    ipv4_.reset();
    ipv6_.reset();
    Ask(*ipv6_channel_, name, DnsChannel::Family::kIpv6, ipv6_);
    Ask(*ipv4_channel_, name, DnsChannel::Family::kIpv4, ipv4_);
    co_await Settle(deadline, kResolutionDelay);
    if (HasAddress() || !NoteFailure()) co_return;
  }
}

void NameLookup::Ask(DnsChannel& channel, const std::string& name, DnsChannel::Family family,
                     std::optional<DnsAnswer>& answer) {
  channel.Ask(name, family, [this, round = round_, &answer](DnsAnswer heard) {
    if (round != round_) return;
    answer = std::move(heard);
    timer_.cancel();
  });
}

asio::awaitable<void> NameLookup::Settle(Deadline deadline,
                                         std::optional<std::chrono::milliseconds> delay) {
  std::optional<Deadline> enough;
  while (!stopped_ && !(ipv4_ && ipv6_)) {
    const auto now = Clock::now();
    if (delay && !enough && (IsEnough(ipv4_) || IsEnough(ipv6_))) enough = now + *delay;
    const auto until = std::min(deadline, enough.value_or(deadline));
    if (now >= until) break;
    timer_.expires_at(until);
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

bool NameLookup::HasAddress() const { return IsFound(ipv4_) || IsFound(ipv6_); }

bool NameLookup::NoteFailure() {
  DnsAnswer worst{.kind = Kind::kNoName, .cause = "", .addresses = {}, .ttl = {}};
  bool says_no_name = false;
  for (const auto& answer : {ipv4_, ipv6_}) {
    const DnsAnswer heard = answer.value_or(DnsAnswer{
        .kind = Kind::kNoAnswer, .cause = "no answer in time", .addresses = {}, .ttl = {}});
    says_no_name = says_no_name || heard.kind == Kind::kNoName;
    // Their order is that of what they leave open.
    if (worst.cause.empty() ? heard.kind != Kind::kFound : heard.kind > worst.kind) worst = heard;
  }
  const bool goes_on = says_no_name || worst.kind != Kind::kNoAnswer;
  if (says_no_name && worst.kind == Kind::kNoAnswer) {
    worst.kind = Kind::kNoName;
    worst.cause = "there is no such name";
  }
  if (failure_.cause.empty() || worst.kind > failure_.kind) failure_ = worst;
  return goes_on && !stopped_;
}

NameLookup::Found NameLookup::Result() const {
  Found found;
  if (!HasAddress()) {
    found.cause = stopped_                 ? "the gateway stops"
                  : failure_.cause.empty() ? "neither files nor servers may be asked"
                                           : failure_.cause;
    return found;
  }
  found.ipv4 = Known(ipv4_);
  found.ipv6 = Known(ipv6_);
  auto ttl = std::chrono::seconds::max();
  for (const auto* answer : {&ipv4_, &ipv6_}) {
    if (IsFound(*answer)) ttl = std::min(ttl, (*answer)->ttl);
  }
  found.ttl = ttl;
  return found;
}

}  // namespace leasegateway
