#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_DIALED_STREAM_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_DIALED_STREAM_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/core/buffer_traits.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <cerrno>
#include <cstddef>
#include <utility>

namespace leasegateway {

// The bytes to and from the provider's port, which a Dialer connects and TLS runs over: an
// AsyncStream. What the road there puts between them and the TCP connection belongs in here. Used
// on one strand at a time.
class DialedStream {
 public:
  using executor_type = boost::beast::tcp_stream::executor_type;
  using lowest_layer_type = boost::beast::tcp_stream::socket_type;

  explicit DialedStream(const boost::asio::any_io_executor& executor) : tcp_(executor) {}

  executor_type get_executor() { return tcp_.get_executor(); }
  lowest_layer_type& lowest_layer() { return tcp_.socket(); }
  // Socket and timers; the name by which Beast finds them.
  boost::beast::tcp_stream& next_layer() { return tcp_; }
  const boost::beast::tcp_stream& next_layer() const { return tcp_; }

  // From now on a read takes what has arrived, or fails with would_block where it would wait; a
  // layer above is as usable after that failure as before. False: reads wait again.
  void SetOnlyWhatIsThere(bool only) { only_what_is_there_ = only; }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        ReadSome{this}, token, buffers);
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return tcp_.async_write_some(buffers, std::forward<Token>(token));
  }

 private:
  struct ReadSome {
    template <typename Handler, typename Buffers>
    void operator()(Handler&& handler, const Buffers& buffers) const {
      if (stream->only_what_is_there_) {
        stream->ReadWhatIsThere(std::forward<Handler>(handler), buffers);
      } else {
        stream->tcp_.async_read_some(buffers, std::forward<Handler>(handler));
      }
    }
    DialedStream* stream;
  };

  template <typename Handler, typename Buffers>
  void ReadWhatIsThere(Handler&& handler, const Buffers& buffers) {
    const boost::asio::mutable_buffer first(*boost::asio::buffer_sequence_begin(buffers));
    const ssize_t got =
        ::recv(tcp_.socket().native_handle(), first.data(), first.size(), MSG_DONTWAIT);
    boost::system::error_code error;
    if (got < 0) error.assign(errno, boost::asio::error::get_system_category());
    if (got == 0 && first.size() > 0) error = boost::asio::error::eof;
    boost::asio::post(
        tcp_.get_executor(),
        boost::beast::bind_front_handler(std::forward<Handler>(handler), error,
                                         got > 0 ? static_cast<std::size_t>(got) : std::size_t{0}));
  }

  boost::beast::tcp_stream tcp_;
  bool only_what_is_there_ = false;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_DIALED_STREAM_H_
