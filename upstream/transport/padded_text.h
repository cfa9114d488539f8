#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_PADDED_TEXT_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_PADDED_TEXT_H_

#include <concepts>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace leasegateway {

// Bytes that grow at their end, with kPadding zeros behind them that are no part of the text: a
// parser that reads in large steps may read these, so that what was received is parsed where it
// lies. Owns its memory. A plain value that is moved, not copied.
class PaddedText {
 public:
  static constexpr std::size_t kPadding = 64;

  PaddedText() = default;
  // A copy of them.
  template <typename Text>
  requires std::convertible_to<const Text&, std::string_view> PaddedText(const Text& text) {
    Append(text);
  }  // NOLINT(google-explicit-constructor)
  PaddedText(PaddedText&& other) noexcept;
  PaddedText& operator=(PaddedText&& other) noexcept;

  std::string_view view() const { return {data_.get(), size_}; }
  std::size_t size() const { return size_; }

  // Room for so many bytes in all, those that are there included.
  void Reserve(std::size_t capacity);
  // Where the next bytes belong; there is room for room() of them, at least `wanted`. Extend()
  // makes those that were written there a part of the text.
  char* MakeRoom(std::size_t wanted);
  std::size_t room() const { return capacity_ - size_; }
  void Extend(std::size_t written);
  void Append(std::string_view bytes);

 private:
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };

  std::unique_ptr<char, Free> data_;  // capacity_ + kPadding bytes; null: none
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_PADDED_TEXT_H_
