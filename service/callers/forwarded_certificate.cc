#include "service/callers/forwarded_certificate.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace leasegateway {
namespace {

absl::Status BreaksRule(absl::string_view rule) { return absl::InvalidArgumentError(rule); }

bool IsSpiffeUri(absl::string_view uri) { return absl::StartsWithIgnoreCase(uri, "spiffe:"); }

// Reads a header from its beginning to its end.
class HeaderReader {
 public:
  explicit HeaderReader(absl::string_view header) : left_(header) {}

  absl::StatusOr<std::vector<ForwardedCertificate>> Read() {
    std::vector<ForwardedCertificate> elements;
    do {
      SkipSpaces();
      auto element = ReadElement();
      if (!element.ok()) return element.status();
      elements.push_back(*std::move(element));
      SkipSpaces();
    } while (Skip(','));
    if (!left_.empty()) return BreaksRule("has something after a value's closing quote");
    return elements;
  }

 private:
  bool Skip(char c) {
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  void SkipSpaces() {
    while (Skip(' ')) continue;
  }

  absl::StatusOr<ForwardedCertificate> ReadElement() {
    ForwardedCertificate element;
    seen_subject_ = false;
    do {
      const std::size_t length =
          std::find_if_not(left_.begin(), left_.end(), absl::ascii_isalnum) - left_.begin();
      const absl::string_view key = left_.substr(0, length);
      left_.remove_prefix(length);
      if (key.empty() || !Skip('=')) return BreaksRule("must have pairs of the form KEY=VALUE");
      auto value = ReadValue();
      if (!value.ok()) return value.status();
      if (absl::Status status = Keep(key, *std::move(value), element); !status.ok()) return status;
    } while (Skip(';'));
    return element;
  }

  absl::StatusOr<std::string> ReadValue() {
    if (!Skip('"')) {
      const std::size_t length = std::min(left_.find_first_of(",;\"\\"), left_.size());
      const absl::string_view value = left_.substr(0, length);
      if (length < left_.size() && (left_[length] == '"' || left_[length] == '\\')) {
        return BreaksRule("has a quote or a backslash in a value that is not quoted");
      }
      left_.remove_prefix(length);
      return std::string(absl::StripTrailingAsciiWhitespace(value));
    }
    // A backslash goes with what follows it: Envoy quotes a subject as RFC 2253 writes it.
    for (std::size_t i = 0; i < left_.size(); ++i) {
      if (left_[i] == '\\') {
        ++i;
      } else if (left_[i] == '"') {
        std::string value(left_.substr(0, i));
        left_.remove_prefix(i + 1);
        return value;
      }
    }
    return BreaksRule("has a quoted value without an end");
  }

  absl::Status Keep(absl::string_view key, std::string value, ForwardedCertificate& element) {
    if (absl::EqualsIgnoreCase(key, "Subject")) {
      if (std::exchange(seen_subject_, true)) return BreaksRule("has two subjects in an element");
      element.subject = std::move(value);
    } else if (!value.empty()) {
      if (absl::EqualsIgnoreCase(key, "URI")) element.uris.push_back(std::move(value));
      if (absl::EqualsIgnoreCase(key, "DNS")) element.dns_names.push_back(std::move(value));
    }
    return absl::OkStatus();
  }

  absl::string_view left_;
  bool seen_subject_ = false;  // in the element that is read
};

// Reads a distinguished name from its beginning to its end.
class SubjectReader {
 public:
  explicit SubjectReader(absl::string_view subject) : left_(subject) {}

  absl::StatusOr<std::string> CommonName() {
    std::optional<std::string> common_name;
    do {
      SkipSpaces();
      const std::size_t equals = left_.find('=');
      const absl::string_view type = absl::StripAsciiWhitespace(left_.substr(0, equals));
      if (equals == left_.npos || !IsType(type)) return BreaksRule(kForm);
      left_.remove_prefix(equals + 1);
      const bool is_common_name = absl::EqualsIgnoreCase(type, "CN") || type == "2.5.4.3" ||
                                  absl::EqualsIgnoreCase(type, "OID.2.5.4.3");
      const bool is_hex = !left_.empty() && left_.front() == '#';
      auto value = ReadValue();
      if (!value.ok()) return value.status();
      if (!is_common_name) continue;
      if (is_hex) return BreaksRule("has a common name in hexadecimal");
      if (common_name) return BreaksRule("has more than one common name");
      common_name = *std::move(value);
    } while (SkipSeparator());
    return common_name.value_or("");
  }

 private:
  static constexpr absl::string_view kForm = "must be a distinguished name of RFC 4514";

  static bool IsType(absl::string_view type) {
    return !type.empty() && std::all_of(type.begin(), type.end(), [](char c) {
      return absl::ascii_isalnum(c) || c == '.' || c == '-';
    });
  }

  void SkipSpaces() {
    while (!left_.empty() && left_.front() == ' ') left_.remove_prefix(1);
  }
  // What ends a value; else the whole has been read.
  bool SkipSeparator() {
    if (left_.empty()) return false;
    left_.remove_prefix(1);
    return true;
  }

  // Up to a separator or the end. Spaces around it count only when they are escaped.
  absl::StatusOr<std::string> ReadValue() {
    SkipSpaces();
    std::string value;
    std::size_t end = 0;  // of `value`, without the spaces that follow
    while (!left_.empty()) {
      const char c = left_.front();
      if (c == ',' || c == '+' || c == ';') break;
      if (c == '"' || c == '<' || c == '>' || c == '\0') return BreaksRule(kForm);
      left_.remove_prefix(1);
      if (c == '\\') {
        if (!ReadEscaped(value)) return BreaksRule(kForm);
      } else {
        value += c;
      }
      if (c != ' ') end = value.size();
    }
    value.resize(end);
    return value;
  }

  bool ReadEscaped(std::string& value) {
    if (left_.empty()) return false;
    if (absl::ascii_isxdigit(left_[0])) {
      int byte = 0;
      if (left_.size() < 2 || !absl::ascii_isxdigit(left_[1])) return false;
      if (!absl::SimpleHexAtoi(left_.substr(0, 2), &byte)) return false;
      value += static_cast<char>(byte);
      left_.remove_prefix(2);
      return true;
    }
    if (!absl::StrContains(" \"#+,;<=>\\", left_.substr(0, 1))) return false;
    value += left_.front();
    left_.remove_prefix(1);
    return true;
  }

  absl::string_view left_;
};

}  // namespace

absl::StatusOr<std::vector<ForwardedCertificate>> ParseForwardedCertificates(
    absl::string_view header) {
  if (header.size() > kMaxForwardedCertificateBytes) {
    return BreaksRule(
        absl::StrCat("must be at most ", kMaxForwardedCertificateBytes >> 10, " KiB"));
  }
  if (!std::all_of(header.begin(), header.end(), absl::ascii_isprint)) {
    return BreaksRule("must be printable ASCII");
  }
  return HeaderReader(header).Read();
}

absl::StatusOr<std::string> CommonNameOf(absl::string_view subject) {
  if (subject.empty()) return "";
  return SubjectReader(subject).CommonName();
}

absl::StatusOr<Identity> IdentityOf(const CertificateNames& names) {
  const auto invalid = [](absl::string_view what, absl::string_view rule) {
    return IdentityInvalid("invalid name", absl::StrCat(what, " of the certificate ", rule));
  };
  const auto id = std::find_if(names.uris.begin(), names.uris.end(), IsSpiffeUri);
  if (id != names.uris.end()) {
    if (std::any_of(id + 1, names.uris.end(), IsSpiffeUri)) {
      return IdentityInvalid("several names", "the certificate has more than one SPIFFE ID");
    }
    const std::string rule = CheckSpiffeId(*id);
    if (!rule.empty()) return invalid("the SPIFFE ID", rule);
    return SpiffeIdentity(*id);
  }
  if (!names.dns_names.empty()) {
    const std::string rule = CheckDnsName(names.dns_names[0]);
    if (!rule.empty()) return invalid("the DNS name", rule);
    return DnsIdentity(names.dns_names[0]);
  }
  if (names.common_name.empty()) {
    return IdentityInvalid("no name",
                           "the certificate has no SPIFFE ID, no DNS name and no common name");
  }
  const std::string rule = CheckCommonName(names.common_name);
  if (!rule.empty()) return invalid("the common name", rule);
  return CommonNameIdentity(names.common_name);
}

absl::StatusOr<Identity> ReadForwardedCertificate(absl::string_view header) {
  const auto malformed = [](absl::string_view what, const absl::Status& status) {
    return IdentityInvalid("malformed header", absl::StrCat(what, " ", status.message()));
  };
  const auto elements = ParseForwardedCertificates(header);
  if (!elements.ok()) return malformed("x-forwarded-client-cert", elements.status());
  const ForwardedCertificate& nearest = elements->back();
  absl::StatusOr<std::string> common_name = "";
  if (nearest.dns_names.empty() &&
      std::none_of(nearest.uris.begin(), nearest.uris.end(), IsSpiffeUri)) {
    common_name = CommonNameOf(nearest.subject);
    if (!common_name.ok()) {
      return malformed("the subject in x-forwarded-client-cert", common_name.status());
    }
  }
  return IdentityOf({nearest.uris, nearest.dns_names, *common_name});
}

}  // namespace leasegateway
