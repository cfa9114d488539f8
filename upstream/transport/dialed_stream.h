#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_DIALED_STREAM_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_DIALED_STREAM_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/core/buffer_traits.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <utility>

#include "upstream/transport/tls_client.h"

namespace leasegateway {

// A TCP connection whose reads can be told not to wait: an AsyncStream.
class TcpBytes {
 public:
  using executor_type = boost::beast::tcp_stream::executor_type;
  using lowest_layer_type = boost::beast::tcp_stream::socket_type;

  explicit TcpBytes(const boost::asio::any_io_executor& executor) : tcp_(executor) {}

  executor_type get_executor() { return tcp_.get_executor(); }
  lowest_layer_type& lowest_layer() { return tcp_.socket(); }
  boost::beast::tcp_stream& tcp() { return tcp_; }
  const boost::beast::tcp_stream& tcp() const { return tcp_; }
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
      if (bytes->only_what_is_there_) {
        bytes->ReadWhatIsThere(std::forward<Handler>(handler), buffers);
      } else {
        bytes->tcp_.async_read_some(buffers, std::forward<Handler>(handler));
      }
    }
    TcpBytes* bytes;
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

// The bytes to and from the provider's port, which a Dialer connects and TLS runs over: an
// AsyncStream. What the road there puts between them and the TCP connection is in here: the TLS of
// an https:// proxy. Used on one strand at a time.
class DialedStream {
 public:
  using executor_type = TcpBytes::executor_type;
  using lowest_layer_type = TcpBytes::lowest_layer_type;
  using ProxyTls = boost::asio::ssl::stream<TcpBytes&>;

  explicit DialedStream(const boost::asio::any_io_executor& executor) : tcp_(executor) {}
  ~DialedStream() {
    if (tls_) KeepSessionAtEnd(tls_->native_handle());
  }
  DialedStream(const DialedStream&) = delete;
  DialedStream& operator=(const DialedStream&) = delete;

  executor_type get_executor() { return tcp_.get_executor(); }
  lowest_layer_type& lowest_layer() { return tcp_.lowest_layer(); }
  // Socket and timers; the name by which Beast finds them.
  boost::beast::tcp_stream& next_layer() { return tcp_.tcp(); }
  const boost::beast::tcp_stream& next_layer() const { return tcp_.tcp(); }

  // From now on all bytes go through it; the caller shakes hands first. `context` must outlive it.
  ProxyTls& AddTls(boost::asio::ssl::context& context) { return tls_.emplace(tcp_, context); }
  // Whether that TLS holds bytes that nobody has read.
  bool HasUnreadTls() { return tls_ && HasUnread(tls_->native_handle()); }

  // From now on a read takes what has arrived, or fails with would_block where it would wait; a
  // layer above is as usable after that failure as before. False: reads wait again.
  void SetOnlyWhatIsThere(bool only) { tcp_.SetOnlyWhatIsThere(only); }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        ReadSome{this}, token, buffers);
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        WriteSome{this}, token, buffers);
  }

 private:
  struct ReadSome {
    template <typename Handler, typename Buffers>
    void operator()(Handler&& handler, const Buffers& buffers) const {
      if (stream->tls_) {
        stream->tls_->async_read_some(buffers, std::forward<Handler>(handler));
      } else {
        stream->tcp_.async_read_some(buffers, std::forward<Handler>(handler));
      }
    }
    DialedStream* stream;
  };
  struct WriteSome {
    template <typename Handler, typename Buffers>
    void operator()(Handler&& handler, const Buffers& buffers) const {
      if (stream->tls_) {
        stream->tls_->async_write_some(buffers, std::forward<Handler>(handler));
      } else {
        stream->tcp_.async_write_some(buffers, std::forward<Handler>(handler));
      }
    }
    DialedStream* stream;
  };

  TcpBytes tcp_;
  std::optional<ProxyTls> tls_;  // refers to tcp_
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_DIALED_STREAM_H_
