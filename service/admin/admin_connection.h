#ifndef LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_CONNECTION_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_CONNECTION_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>
#include <optional>

#include "service/admin/admin_answers.h"
#include "service/admin/admin_pages.h"
#include "service/admin/admin_room.h"
#include "service/admin/admin_stats.h"

namespace leasegateway {

// A connection to the admin port, served by HTTP/1.1 until its end: one request after the other,
// each read, answered and its answer written within its bounds. On the admin port's thread.
class AdminConnection : public std::enable_shared_from_this<AdminConnection>,
                        private AdminRoom::Guest {
 public:
  // What the connections of a port share. All outlive them.
  struct Port {
    const AdminOptions& options;
    AdminRoom& room;
    AdminAnswers& answers;
    AdminStats& stats;
  };

  AdminConnection(boost::asio::ip::tcp::socket socket, const boost::asio::ip::address& peer,
                  const Port& port);
  virtual ~AdminConnection() = default;

  // False: there is no place for it.
  bool Enter();
  // Once, after Enter.
  static boost::asio::awaitable<void> Serve(std::shared_ptr<AdminConnection> connection);

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  enum class Read { kWhole, kRefused, kEnded };

  bool AnswerTaken() override;
  void MakeRoom() override;

  boost::asio::awaitable<void> ServeRequests();
  // Until the first byte of a request that isn't the first. False: there is none.
  boost::asio::awaitable<bool> AwaitRequest();
  // A whole request, or why there is none in `refusal_`.
  boost::asio::awaitable<Read> ReadRequest();
  boost::asio::awaitable<Read> ReadBody();
  Read Refuse(std::optional<AdminAnswer> refusal);  // none: it ended
  // False: the connection does not go on.
  boost::asio::awaitable<bool> Send(AdminAnswer answer, bool head, unsigned version,
                                    bool keep_alive);
  // Until the peer has the answer: a close with bytes unread would take it back.
  boost::asio::awaitable<void> SeeOff();

  // What follows has so much time, and the connection is closed after it. Noted where `why` is.
  void Allow(std::chrono::milliseconds time, std::optional<AdminLoss> why);
  void CloseOnceTaken(std::chrono::steady_clock::time_point give_up);
  // What the peer did not read is thrown away, not kept by the kernel.
  void Close();

  const Port port_;
  const boost::asio::ip::address peer_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;  // of the request under way
  std::optional<AdminAnswer> refusal_;
  std::unique_ptr<AdminRoom::Place> place_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_CONNECTION_H_
