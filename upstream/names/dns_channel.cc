#include "upstream/names/dns_channel.h"

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;

// Each server is asked so often, unless whoever asks has enough before.
constexpr int kTries = 3;

DnsAnswer::Kind KindOf(int status) {
  switch (status) {
    case ARES_ENODATA:
      return DnsAnswer::Kind::kNoData;
    case ARES_ENOTFOUND:
      return DnsAnswer::Kind::kNoName;
    case ARES_ETIMEOUT:
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
    case ARES_ENOMEM:
      return DnsAnswer::Kind::kNoAnswer;
    default:
      return DnsAnswer::Kind::kRefused;
  }
}

std::string CauseOf(int status) {
  switch (status) {
    case ARES_ENODATA:
      return "the name has no address";
    case ARES_ENOTFOUND:
      return "there is no such name";
    default:
      return ares_strerror(status);
  }
}

DnsAnswer Read(const ares_addrinfo& result) {
  DnsAnswer answer;
  auto ttl = std::chrono::seconds::max();
  for (const auto* node = result.nodes; node != nullptr; node = node->ai_next) {
    asio::ip::tcp::endpoint endpoint;
    if (node->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), node->ai_addr, node->ai_addrlen);
    endpoint.resize(node->ai_addrlen);
    answer.addresses.push_back(endpoint.address());
    ttl = std::min(ttl, std::chrono::seconds(node->ai_ttl));
  }
  if (answer.addresses.empty()) {
    answer.kind = KindOf(ARES_ENODATA);
    answer.cause = CauseOf(ARES_ENODATA);
    return answer;
  }
  for (const auto* alias = result.cnames; alias != nullptr; alias = alias->next) {
    ttl = std::min(ttl, std::chrono::seconds(alias->ttl));
  }
  answer.kind = DnsAnswer::Kind::kFound;
  answer.ttl = std::max(ttl, std::chrono::seconds(0));
  return answer;
}

// c-ares 1.18 takes no IPv6 address in brackets without its port.
std::string WithPorts(const std::string& servers, std::uint16_t port) {
  std::string whole =
      absl::StrReplaceAll(absl::StrCat(servers, ","), {{"],", absl::StrCat("]:", port, ",")}});
  whole.pop_back();
  return whole;
}

}  // namespace

DnsChannel::DnsChannel(const asio::any_io_executor& strand) : strand_(strand), timer_(strand) {}

DnsChannel::~DnsChannel() {
  closing_ = true;
  if (channel_ != nullptr) ares_destroy(channel_);
}

// ares_library_init is for Windows; elsewhere its counter is all it has, and gRPC's too.
absl::StatusOr<std::shared_ptr<DnsChannel>> DnsChannel::Open(const asio::any_io_executor& strand,
                                                             const Options& options) {
  std::shared_ptr<DnsChannel> channel(new DnsChannel(strand));
  std::string resolv_conf = options.resolv_conf;
  std::string lookups = options.source == Source::kHostsFile ? "f" : "b";
  ares_options settings{};
  settings.sock_state_cb = &DnsChannel::OnSocketState;
  settings.sock_state_cb_data = channel.get();
  settings.lookups = lookups.data();
  settings.resolvconf_path = resolv_conf.data();
  settings.udp_port = settings.tcp_port = options.port;
  settings.timeout = static_cast<int>(options.timeout.count());
  settings.tries = kTries;
  // 1.18 asks a server that refuses again, and then says that none was there. With others to ask
  // it is right to go on.
  if (options.server_count == 1) settings.flags |= ARES_FLAG_NOCHECKRESP;
  if (options.always_tcp) settings.flags |= ARES_FLAG_USEVC;
  int status = ares_init_options(&channel->channel_, &settings,
                                 ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS | ARES_OPT_RESOLVCONF |
                                     ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT | ARES_OPT_TIMEOUTMS |
                                     ARES_OPT_TRIES | ARES_OPT_FLAGS);
  if (status == ARES_SUCCESS && !options.servers.empty()) {
    status = ares_set_servers_ports_csv(channel->channel_,
                                        WithPorts(options.servers, options.port).c_str());
  }
  if (status != ARES_SUCCESS) {
    return absl::InternalError(absl::StrCat("c-ares: ", ares_strerror(status)));
  }
  return channel;
}

void DnsChannel::Ask(const std::string& name, Family family, Done done) {
  ares_addrinfo_hints hints{};
  hints.ai_flags = ARES_AI_NOSORT | ARES_AI_ENVHOSTS;
  hints.ai_family = family == Family::kIpv4   ? AF_INET
                    : family == Family::kIpv6 ? AF_INET6
                                              : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  auto question = std::make_unique<Question>(Question{this, std::move(done)});
  ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, &DnsChannel::OnAnswer,
                   question.release());
  SetTimer();
}

void DnsChannel::OnAnswer(void* question, int status, int /*timeouts*/, ares_addrinfo* result) {
  const std::unique_ptr<Question> asked(static_cast<Question*>(question));
  DnsAnswer answer;
  if (status == ARES_SUCCESS && result != nullptr) {
    answer = Read(*result);
  } else {
    answer.kind = KindOf(status);
    answer.cause = CauseOf(status);
  }
  if (result != nullptr) ares_freeaddrinfo(result);
  if (!asked->channel->closing_) asked->done(std::move(answer));
}

void DnsChannel::OnSocketState(void* channel, ares_socket_t fd, int readable, int writable) {
  auto* const self = static_cast<DnsChannel*>(channel);
  auto& socket = self->sockets_[fd];
  if (readable == 0 && writable == 0) {
    if (socket) {
      socket->fd = -1;
      socket->descriptor.release();  // c-ares closes it
    }
    self->sockets_.erase(fd);
    return;
  }
  if (!socket) {
    socket = std::make_shared<Socket>(self->strand_);
    socket->fd = fd;
    boost::system::error_code error;
    socket->descriptor.assign(fd, error);
    if (error) return;  // no events: the question times out
  }
  socket->wants_read = readable != 0;
  socket->wants_write = writable != 0;
  self->Watch(socket);
}

void DnsChannel::Watch(const std::shared_ptr<Socket>& socket) {
  using Descriptor = asio::posix::stream_descriptor;
  if (socket->wants_read) Await(socket, Descriptor::wait_read, &socket->reading);
  if (socket->wants_write) Await(socket, Descriptor::wait_write, &socket->writing);
}

void DnsChannel::Await(const std::shared_ptr<Socket>& socket,
                       asio::posix::descriptor_base::wait_type event, bool* waiting) {
  if (std::exchange(*waiting, true)) return;
  socket->descriptor.async_wait(event, [weak = weak_from_this(), socket, event,
                                        waiting](const boost::system::error_code& error) {
    *waiting = false;
    const auto self = weak.lock();
    if (error || !self || socket->fd < 0) return;
    const bool is_read = event == asio::posix::descriptor_base::wait_read;
    self->Process(is_read ? socket->fd : ARES_SOCKET_BAD, is_read ? ARES_SOCKET_BAD : socket->fd);
    if (socket->fd >= 0) self->Watch(socket);
  });
}

void DnsChannel::Process(ares_socket_t readable, ares_socket_t writable) {
  ares_process_fd(channel_, readable, writable);
  SetTimer();
}

void DnsChannel::SetTimer() {
  timeval buffer{};
  const timeval* const left = ares_timeout(channel_, nullptr, &buffer);
  if (left == nullptr) {
    timer_.cancel();
    return;
  }
  timer_.expires_after(std::chrono::seconds(left->tv_sec) +
                       std::chrono::microseconds(left->tv_usec));
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!error && self) self->Process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  });
}

}  // namespace leasegateway
