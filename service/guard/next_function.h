#ifndef LEASE_GATEWAY_SERVICE_GUARD_NEXT_FUNCTION_H_
#define LEASE_GATEWAY_SERVICE_GUARD_NEXT_FUNCTION_H_

#include <dlfcn.h>

#ifdef LEASE_GATEWAY_TSAN
extern "C" void AnnotateIgnoreWritesBegin(const char* file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char* file, int line);
#endif

namespace leasegateway {

// While it lives, ThreadSanitizer looks past what this thread reads and writes; otherwise nothing.
// Bytes that the library's recvmsg fills for gRPC are handed on in ways that it does not see, so
// each later read of them would be a race: suppressed, yet slow enough that tests never end.
class [[maybe_unused]] UnseenBySanitizer {
 public:
#ifdef LEASE_GATEWAY_TSAN
  UnseenBySanitizer() { AnnotateIgnoreWritesBegin(__FILE__, __LINE__); }
  ~UnseenBySanitizer() { AnnotateIgnoreWritesEnd(__FILE__, __LINE__); }
#else
  UnseenBySanitizer() {}
#endif
  UnseenBySanitizer(const UnseenBySanitizer&) = delete;
  UnseenBySanitizer& operator=(const UnseenBySanitizer&) = delete;
};

// The library's function of the name that the program has one of its own of (dlsym(3)).
template <typename Function>
Function* NextFunction(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_NEXT_FUNCTION_H_
