#ifndef LEASE_GATEWAY_SERVICE_GUARD_DESCRIPTOR_H_
#define LEASE_GATEWAY_SERVICE_GUARD_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace leasegateway {

// Owns a descriptor until it is released.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(other.Release()) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }

  int number() const { return number_; }  // -1: none
  [[nodiscard]] int Release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_DESCRIPTOR_H_
