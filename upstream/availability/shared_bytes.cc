#include "upstream/availability/shared_bytes.h"

#include <utility>

namespace leasegateway {
namespace {

class InMemory : public SharedBytes {
 public:
  explicit InMemory(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string_view view() const override { return bytes_; }

 private:
  const std::string bytes_;
};

}  // namespace

std::shared_ptr<const SharedBytes> PinInMemory(std::string bytes) {
  return std::make_shared<InMemory>(std::move(bytes));
}

}  // namespace leasegateway
