#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_REPLY_BODY_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_REPLY_BODY_H_

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/optional/optional.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "upstream/inflater.h"
#include "upstream/transport/padded_text.h"

namespace leasegateway {

// The body of an answer (a Body of Beast's), which becomes text while it arrives, where a parser
// can read it in place. Its Content-Encoding (RFC 9110, 8.4) is `identity`, or `gzip` or `x-gzip`
// if the request asked for that. With any other a success can't be read; what else comes in one is
// dropped, since it can't show whose it is. More text than the limit is Beast's error body_limit.
struct ReplyBody {
  struct value_type {
    // Set before reading: bytes of text at most, and whether gzip was asked for.
    std::size_t limit = 0;
    bool takes_gzip = false;
    PaddedText text;
    std::string dropped_encoding;  // in which it came, so that it was dropped; empty: it was not
    std::string problem;           // in words: why reading ended with an error
  };

  class reader {
   public:
    using Header = boost::beast::http::header<false>;

    // Both outlive it. The header, which is an answer's, is read by init(), when it is whole.
    template <bool is_request, typename Fields>
    reader(const boost::beast::http::header<is_request, Fields>& header, value_type& body)
        : header_(header), body_(body) {}
    void init(const boost::optional<std::uint64_t>& length, boost::beast::error_code& error);
    template <typename Buffers>
    std::size_t put(const Buffers& buffers, boost::beast::error_code& error) {
      std::size_t taken = 0;
      for (const auto buffer : boost::beast::buffers_range_ref(buffers)) {
        Take({static_cast<const char*>(buffer.data()), buffer.size()}, error);
        if (error) break;
        taken += buffer.size();
      }
      return taken;
    }
    void finish(boost::beast::error_code& error);

   private:
    void Take(std::string_view bytes, boost::beast::error_code& error);

    const Header& header_;
    value_type& body_;
    std::optional<Inflater> inflater_;
  };
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_REPLY_BODY_H_
