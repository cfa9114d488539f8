#ifndef LEASE_GATEWAY_UPSTREAM_NAMES_DNS_CHANNEL_H_
#define LEASE_GATEWAY_UPSTREAM_NAMES_DNS_CHANNEL_H_

#include <ares.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace leasegateway {

// What one question came to.
struct DnsAnswer {
  enum class Kind {
    kFound,     // there are addresses
    kNoData,    // the name exists, without addresses of the family
    kNoName,    // it does not exist (NXDOMAIN)
    kRefused,   // SERVFAIL, REFUSED, FORMERR, nonsense, or nobody is there who could answer
    kNoAnswer,  // time passed
  };
  Kind kind = Kind::kNoAnswer;
  std::string cause;                                // in words, unless kFound
  std::vector<boost::asio::ip::address> addresses;  // as the server ordered them
  std::chrono::seconds ttl{0};                      // the least of all records, aliases as well
};

// c-ares on Asio: asks what the system's hosts file or its name servers know, over UDP, and over
// TCP what is truncated. All of it, its making and its end as well, happens on one strand; its end
// forgets what is not answered yet and closes the sockets. c-ares's own threads, files and caches
// aside, 1.18 (Debian 12) and 1.34 (Debian 13) do the same by this.
class DnsChannel : public std::enable_shared_from_this<DnsChannel> {
 public:
  enum class Source { kHostsFile, kServers };
  enum class Family { kIpv4, kIpv6, kBoth };
  struct Options {
    Source source = Source::kServers;
    std::string resolv_conf;  // path
    std::string servers;      // ADDRESS[:PORT], comma-separated; empty: those of `resolv_conf`
    std::uint16_t port = 53;  // of those that have none
    int server_count = 1;
    bool always_tcp = false;
    std::chrono::milliseconds timeout{1'000};  // of the first try with a server; grows with each
  };
  using Done = std::function<void(DnsAnswer)>;

  // INTERNAL when c-ares takes the options or the files not.
  static absl::StatusOr<std::shared_ptr<DnsChannel>> Open(
      const boost::asio::any_io_executor& strand, const Options& options);
  ~DnsChannel();
  DnsChannel(const DnsChannel&) = delete;
  DnsChannel& operator=(const DnsChannel&) = delete;

  // `name` is whole, with a dot at its end where it goes to servers: no search domain is added.
  // `done` is called once, maybe before this returns, and asks nothing itself. The hosts file is
  // read at once. It is the one that the environment's CARES_HOSTS names, where it does.
  void Ask(const std::string& name, Family family, Done done);

 private:
  struct Socket {
    explicit Socket(const boost::asio::any_io_executor& strand) : descriptor(strand) {}
    boost::asio::posix::stream_descriptor descriptor;
    int fd = -1;  // c-ares's, which closes it; -1: it has
    bool wants_read = false, wants_write = false;
    bool reading = false, writing = false;
  };
  struct Question {
    DnsChannel* channel;
    Done done;
  };

  explicit DnsChannel(const boost::asio::any_io_executor& strand);
  static void OnSocketState(void* channel, ares_socket_t fd, int readable, int writable);
  static void OnAnswer(void* question, int status, int timeouts, ares_addrinfo* result);
  // Awaits the events that c-ares wants of it, one wait for each at a time.
  void Watch(const std::shared_ptr<Socket>& socket);
  // `waiting` is a field of the socket's.
  void Await(const std::shared_ptr<Socket>& socket,
             boost::asio::posix::descriptor_base::wait_type event, bool* waiting);
  // A socket's events, or -1; time-outs in either case.
  void Process(ares_socket_t readable, ares_socket_t writable);
  void SetTimer();

  const boost::asio::any_io_executor strand_;
  boost::asio::steady_timer timer_;
  std::map<ares_socket_t, std::shared_ptr<Socket>> sockets_;
  ares_channel channel_ = nullptr;
  bool closing_ = false;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_NAMES_DNS_CHANNEL_H_
