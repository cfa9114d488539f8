#include "service/callers/matcher_field.h"

#include <algorithm>
#include <string>

#include "absl/strings/strip.h"
#include "service/callers/identity.h"

namespace leasegateway {
namespace {

using Presence = FileField::Presence;

// All that begin so: an ID and the slash after it.
std::string CheckSpiffePrefix(absl::string_view prefix) {
  if (!absl::ConsumeSuffix(&prefix, "/")) {
    return "must end with /, as spiffe://domain/ or spiffe://domain/ns/shop/";
  }
  return CheckSpiffeId(prefix);
}

// Issuer and subject.
void ReadToken(const FileField& field, const std::vector<TokenIssuer>* issuers,
               Identity& identity) {
  std::string issuer, subject;
  field.ReadKeys({
      {"issuer", Presence::kRequired,
       [&](const FileField& value) {
         value.ReadText(issuer, [&](absl::string_view text) -> std::string {
           const auto is_it = [&](const TokenIssuer& one) { return one.issuer == text; };
           const bool unknown =
               issuers != nullptr && std::none_of(issuers->begin(), issuers->end(), is_it);
           return unknown ? "is no issuer of tokens" : CheckTokenIssuer(text);
         });
       }},
      {"subject", Presence::kRequired,
       [&](const FileField& value) { value.ReadText(subject, CheckTokenSubject); }},
  });
  if (!issuer.empty() && !subject.empty()) identity = TokenIdentity(issuer, subject);
}

void ReadAnonymous(const FileField& field, Identity& identity) {
  std::string is_true;
  field.ReadText(is_true, [](absl::string_view text) {
    return std::string(text == "true" ? "" : "must be true");
  });
  if (!is_true.empty()) identity = {v1::IDENTITY_KIND_ANONYMOUS, ""};
}

}  // namespace

void ReadMatcher(const FileField& field, const std::vector<TokenIssuer>* issuers,
                 CallerSetting& caller) {
  if (field.node().kind == YamlNode::Kind::kMapping && field.node().children.size() != 2) {
    field.Refuse(
        "must have exactly one of spiffe, spiffe_prefix, dns, common_name, token, anonymous");
  }
  Identity& identity = caller.identity;
  identity.kind = v1::IDENTITY_KIND_UNSPECIFIED;
  const auto text = [&](Identity (*make)(absl::string_view),
                        std::string (*check)(absl::string_view)) {
    return [&identity, make, check](const FileField& value) {
      std::string name;
      value.ReadText(name, check);
      if (!name.empty()) identity = make(name);
    };
  };
  field.ReadKeys({
      {"spiffe", Presence::kOptional, text(SpiffeIdentity, CheckSpiffeId)},
      {"spiffe_prefix", Presence::kOptional,
       [&](const FileField& value) {
         caller.prefix = true;
         text(SpiffeIdentity, CheckSpiffePrefix)(value);
       }},
      {"dns", Presence::kOptional, text(DnsIdentity, CheckDnsName)},
      {"common_name", Presence::kOptional, text(CommonNameIdentity, CheckCommonName)},
      {"token", Presence::kOptional,
       [&](const FileField& value) { ReadToken(value, issuers, identity); }},
      {"anonymous", Presence::kOptional,
       [&](const FileField& value) { ReadAnonymous(value, identity); }},
  });
}

}  // namespace leasegateway
