#ifndef LEASE_GATEWAY_SERVICE_GUARD_NEXT_FUNCTION_H_
#define LEASE_GATEWAY_SERVICE_GUARD_NEXT_FUNCTION_H_

#include <dlfcn.h>

namespace leasegateway {

// The library's function of the name that the program has one of its own of (dlsym(3)).
template <typename Function>
Function* NextFunction(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_NEXT_FUNCTION_H_
