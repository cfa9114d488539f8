// Preloaded into h2load, which has no option for it: every TLS connection shows the certificate of
// the PEM file that BENCH_CLIENT_CERTIFICATE names; its key is in there as well.
#include <dlfcn.h>
#include <openssl/ssl.h>

#include <cstdio>
#include <cstdlib>

extern "C" __attribute__((visibility("default"))) SSL_CTX* SSL_CTX_new(const SSL_METHOD* method) {
  using Function = SSL_CTX* (*)(const SSL_METHOD*);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "SSL_CTX_new"));
  SSL_CTX* const context = next(method);
  const char* const file = std::getenv("BENCH_CLIENT_CERTIFICATE");
  if (context == nullptr || file == nullptr) return context;
  if (SSL_CTX_use_certificate_chain_file(context, file) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM) != 1) {
    std::fprintf(stderr, "no certificate and key in \"%s\"\n", file);
    std::_Exit(2);
  }
  return context;
}
