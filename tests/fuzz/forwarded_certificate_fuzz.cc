// Any bytes as the header x-forwarded-client-cert, and as a subject: what is parsed formats and
// parses the same, only the last element counts, and a name keeps the rules of its kind.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/callers/forwarded_certificate.h"

namespace {

using leasegateway::CommonNameOf;
using leasegateway::ForwardedCertificate;
using leasegateway::Identity;
using leasegateway::kMaxForwardedCertificateBytes;
using leasegateway::ParseForwardedCertificates;
using leasegateway::ReadForwardedCertificate;

void Demand(bool holds) {
  if (!holds) std::abort();
}

std::string RuleThatBreaks(const Identity& identity) {
  switch (identity.kind) {
    case leasegateway::v1::IDENTITY_KIND_SPIFFE_ID:
      return leasegateway::CheckSpiffeId(identity.name);
    case leasegateway::v1::IDENTITY_KIND_DNS_NAME:
      Demand(leasegateway::DnsIdentity(identity.name) == identity);
      return leasegateway::CheckDnsName(identity.name);
    case leasegateway::v1::IDENTITY_KIND_COMMON_NAME:
      return leasegateway::CheckCommonName(identity.name);
    default:
      return "is of no certificate";
  }
}

// A header that says the same.
std::string Format(const std::vector<ForwardedCertificate>& elements) {
  std::string header;
  for (const ForwardedCertificate& element : elements) {
    absl::StrAppend(&header, header.empty() ? "" : ",", "Subject=\"", element.subject, "\"");
    for (const std::string& uri : element.uris) absl::StrAppend(&header, ";URI=\"", uri, "\"");
    for (const std::string& name : element.dns_names) {
      absl::StrAppend(&header, ";DNS=\"", name, "\"");
    }
  }
  return header;
}

void CheckHeader(const std::string& header) {
  const auto identity = ReadForwardedCertificate(header);
  if (identity.ok()) Demand(RuleThatBreaks(*identity).empty());
  const auto parsed = ParseForwardedCertificates(header);
  if (!parsed.ok()) {
    Demand(!identity.ok());
    return;
  }
  Demand(!parsed->empty());
  const std::string formatted = Format(*parsed);
  if (formatted.size() > kMaxForwardedCertificateBytes) return;
  const auto again = ParseForwardedCertificates(formatted);
  Demand(again.ok() && *again == *parsed);
  const auto of_last = ReadForwardedCertificate(Format({parsed->back()}));
  Demand(of_last.ok() == identity.ok());
  if (identity.ok()) Demand(*of_last == *identity);
  const std::string longer = "By=x;URI=spiffe://prod/admin," + header;
  if (longer.size() > kMaxForwardedCertificateBytes) return;
  const auto of_longer = ReadForwardedCertificate(longer);
  Demand(of_longer.ok() == identity.ok());
  if (identity.ok()) Demand(*of_longer == *identity);
}

void CheckSubject(const std::string& subject) {
  const auto name = CommonNameOf(subject);
  if (!name.ok() || name->empty()) return;
  std::string escaped;
  for (const char c : *name) {
    absl::StrAppend(&escaped, "\\", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
  }
  const auto again = CommonNameOf("O=x,CN=" + escaped + "+OU=y");
  Demand(again.ok() && *again == *name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  CheckHeader(bytes);
  CheckHeader("Subject=\"" + bytes + "\";DNS=");
  CheckSubject(bytes);
  CheckSubject("CN=" + bytes);
  return 0;
}
