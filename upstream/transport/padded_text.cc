#include "upstream/transport/padded_text.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace leasegateway {

PaddedText::PaddedText(PaddedText&& other) noexcept
    : data_(std::move(other.data_)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

PaddedText& PaddedText::operator=(PaddedText&& other) noexcept {
  data_ = std::move(other.data_);
  size_ = std::exchange(other.size_, 0);
  capacity_ = std::exchange(other.capacity_, 0);
  return *this;
}

void PaddedText::Reserve(std::size_t capacity) {
  if (data_ && capacity <= capacity_) return;
  // Not a vector: it would fill with zeros what is about to be written.
  char* const grown = static_cast<char*>(std::realloc(data_.get(), capacity + kPadding));
  if (grown == nullptr) throw std::bad_alloc();
  static_cast<void>(data_.release());
  data_.reset(grown);
  capacity_ = capacity;
  Extend(0);
}

char* PaddedText::MakeRoom(std::size_t wanted) {
  constexpr std::size_t kSmallest = 4096;
  if (room() < wanted) Reserve(std::max({size_ + wanted, 2 * capacity_, kSmallest}));
  return data_.get() + size_;
}

void PaddedText::Extend(std::size_t written) {
  size_ += written;
  std::memset(data_.get() + size_, 0, kPadding);
}

void PaddedText::Append(std::string_view bytes) {
  if (bytes.empty()) return;
  if (!data_) Reserve(bytes.size());
  std::memcpy(MakeRoom(bytes.size()), bytes.data(), bytes.size());
  Extend(bytes.size());
}

}  // namespace leasegateway
