#include "service/guard/free_memory.h"

namespace leasegateway {

void ReturnFreeMemory() {}

}  // namespace leasegateway
