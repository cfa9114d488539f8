#include "service/admin/spare_descriptors.h"

#include <fcntl.h>
#include <unistd.h>

namespace leasegateway {

SpareDescriptors::SpareDescriptors(std::size_t count) : count_(count) { Refill(); }

SpareDescriptors::~SpareDescriptors() {
  while (Release()) {
  }
}

bool SpareDescriptors::Release() {
  if (descriptors_.empty()) return false;
  ::close(descriptors_.back());
  descriptors_.pop_back();
  return true;
}

void SpareDescriptors::Refill() {
  while (descriptors_.size() < count_) {
    const int descriptor = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return;
    descriptors_.push_back(descriptor);
  }
}

}  // namespace leasegateway
