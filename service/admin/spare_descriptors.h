#ifndef LEASE_GATEWAY_SERVICE_ADMIN_SPARE_DESCRIPTORS_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_SPARE_DESCRIPTORS_H_

#include <cstddef>
#include <vector>

namespace leasegateway {

// File descriptors kept for when the process has no other. One thread at a time.
class SpareDescriptors {
 public:
  explicit SpareDescriptors(std::size_t count);
  ~SpareDescriptors();
  SpareDescriptors(const SpareDescriptors&) = delete;
  SpareDescriptors& operator=(const SpareDescriptors&) = delete;

  // Gives one up, for what is opened next unless another thread is quicker. False: none is left.
  bool Release();
  // Takes as many as are missing and can be had.
  void Refill();

 private:
  const std::size_t count_;
  std::vector<int> descriptors_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_SPARE_DESCRIPTORS_H_
