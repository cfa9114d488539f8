#include "service/callers/bearer_token.h"

#include <jansson.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "service/process/logging.h"

namespace leasegateway {

// As it stands in a token, before anything of it is believed.
struct TokenVerifier::Parts {
  std::string key_id;  // empty: it names none
  TokenAlgorithm algorithm = TokenAlgorithm::kRs256;
  Json claims;
};

namespace {

constexpr std::int64_t kLeewaySeconds = TokenVerifier::kLeeway.count();
constexpr std::int64_t kFarSeconds = 1'000'000'000'000;  // 31,000 years: times beyond are as far

absl::Status MalformedToken(absl::string_view message) {
  return IdentityInvalid("malformed", message);
}

// The text of a member; nothing: it is none.
std::optional<std::string> ClaimText(const json_t* object, const char* name) {
  const json_t* const value = json_object_get(object, name);
  if (!json_is_string(value)) return std::nullopt;
  return std::string(json_string_value(value), json_string_length(value));
}

// A time of RFC 7519; `otherwise` where there is none. Malformed: it is no number.
absl::StatusOr<std::int64_t> ClaimedTime(const json_t* claims, const char* name,
                                         std::int64_t otherwise) {
  const json_t* const value = json_object_get(claims, name);
  if (value == nullptr) return otherwise;
  if (!json_is_number(value)) {
    return MalformedToken(absl::StrCat("the token's ", name, " must be a number of seconds"));
  }
  const double far = static_cast<double>(kFarSeconds);
  return static_cast<std::int64_t>(std::clamp(json_number_value(value), -far, far));
}

// Who a token is of at a time.
absl::StatusOr<Identity> IdentityAt(const KnownToken& token,
                                    std::chrono::system_clock::time_point wall) {
  const std::int64_t now =
      std::chrono::floor<std::chrono::seconds>(wall.time_since_epoch()).count();
  if (now >= token.expires + kLeewaySeconds) {
    return IdentityInvalid("expired", "the token has expired");
  }
  if (now < token.not_before - kLeewaySeconds) {
    return IdentityInvalid("not valid yet", "the token is not valid yet");
  }
  return token.identity;
}

// Whether `aud` is, or has, one of them. Malformed: it is neither text nor a list of text.
absl::StatusOr<bool> IsForOneOf(const json_t* claims, const std::vector<std::string>& audiences) {
  const auto is_one = [&](const json_t* value) {
    const std::string_view audience(json_string_value(value), json_string_length(value));
    return std::find(audiences.begin(), audiences.end(), audience) != audiences.end();
  };
  const json_t* const value = json_object_get(claims, "aud");
  if (value == nullptr) return false;
  if (json_is_string(value)) return is_one(value);
  const absl::Status malformed = MalformedToken("the token's aud must be text, or a list of it");
  if (!json_is_array(value)) return malformed;
  bool found = false;
  for (std::size_t i = 0; i < json_array_size(value); ++i) {
    const json_t* const item = json_array_get(value, i);
    if (!json_is_string(item)) return malformed;
    found = found || is_one(item);
  }
  return found;
}

// Who a token with a good signature is of, whenever it is.
absl::StatusOr<Identity> ReadTokenIdentity(const json_t* claims, const TokenIssuer& issuer) {
  const auto is_for_us = IsForOneOf(claims, issuer.audiences);
  if (!is_for_us.ok()) return is_for_us.status();
  if (!*is_for_us) {
    return IdentityInvalid("wrong audience", "the token is not for an audience of this gateway");
  }
  const auto subject = ClaimText(claims, "sub");
  if (!subject) return MalformedToken("the token must have a subject, sub");
  const std::string rule = CheckTokenSubject(*subject);
  if (!rule.empty()) return MalformedToken(absl::StrCat("the token's sub ", rule));
  return TokenIdentity(issuer.issuer, *subject);
}

// What the claims of a token with a good signature say.
KnownToken ReadTokenClaims(const json_t* claims, const TokenIssuer& issuer) {
  const auto refused = [](const absl::Status& status) {
    return KnownToken{status, kFarSeconds, -kFarSeconds};
  };
  const auto expires = ClaimedTime(claims, "exp", kFarSeconds);
  if (!expires.ok()) return refused(expires.status());
  const auto not_before = ClaimedTime(claims, "nbf", -kFarSeconds);
  if (!not_before.ok()) return refused(not_before.status());
  const auto issued = ClaimedTime(claims, "iat", -kFarSeconds);
  if (!issued.ok()) return refused(issued.status());
  if (json_object_get(claims, "exp") == nullptr) {
    return refused(MalformedToken("the token must have an expiry, exp"));
  }
  return {ReadTokenIdentity(claims, issuer), *expires, std::max(*not_before, *issued)};
}

// Reads what says which key the token is signed with.
absl::Status ReadTokenHeader(absl::string_view text, std::string& key_id,
                             TokenAlgorithm& algorithm) {
  const auto bytes = DecodeBase64Url(text);
  const Json header = bytes ? ParseJsonObject(*bytes) : nullptr;
  if (header == nullptr)
    return MalformedToken("the token's header must be a JSON object in base64url");
  const auto name = ClaimText(header.get(), "alg");
  const auto known = name ? ParseTokenAlgorithm(*name) : std::nullopt;
  if (!known) return MalformedToken("the token's alg must be RS256, ES256 or EdDSA");
  algorithm = *known;
  // An extension that must be understood (RFC 7515), and the inflating of what is not yet believed.
  for (const char* member : {"crit", "zip"}) {
    if (json_object_get(header.get(), member) != nullptr) {
      return MalformedToken(absl::StrCat("the token's header must not have ", member));
    }
  }
  if (json_object_get(header.get(), "kid") == nullptr) return absl::OkStatus();
  key_id = ClaimText(header.get(), "kid").value_or("");
  if (key_id.empty() || key_id.size() > TokenKeys::kMaxIdBytes) {
    return MalformedToken(
        absl::StrCat("the token's kid must be text of 1 to ", TokenKeys::kMaxIdBytes, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenVerifier>> TokenVerifier::Open(
    std::vector<TokenIssuer> issuers, std::chrono::milliseconds refresh) {
  std::vector<Issuer> opened;
  for (TokenIssuer& issuer : issuers) {
    auto keys = TokenKeys::Read(issuer.keys_file);
    if (!keys.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("keys_file: \"", issuer.keys_file, "\": ", keys.status().message()));
    }
    opened.push_back({std::move(issuer), *std::move(keys)});
  }
  std::unique_ptr<TokenVerifier> verifier(new TokenVerifier(std::move(opened)));
  verifier->refreshing_.emplace(refresh, [&verifier = *verifier] { verifier.Refresh(); });
  return verifier;
}

absl::StatusOr<Identity> TokenVerifier::Verify(absl::string_view token, TokenTime now) {
  const auto verify = [&]() -> absl::StatusOr<Identity> {
    if (token.size() > kMaxTokenBytes) {
      return MalformedToken(
          absl::StrCat("the token must be at most ", kMaxTokenBytes >> 10, " KiB"));
    }
    const TokenMemory::Digest digest = TokenMemory::DigestOf(token);
    const auto known = memory_.Find(digest, now.steady);
    if (known == nullptr) return VerifyNew(digest, token, now);
    ++from_memory_;
    return IdentityAt(*known, now.wall);
  };
  auto identity = verify();
  if (!identity.ok()) ++refused_;
  return identity;
}

absl::StatusOr<Identity> TokenVerifier::VerifyNew(const TokenMemory::Digest& digest,
                                                  absl::string_view token, TokenTime now) {
  const std::vector<absl::string_view> texts = absl::StrSplit(token, '.');
  if (texts.size() != 3) return MalformedToken("the token must have three parts with '.' between");
  Parts parts;
  if (absl::Status status = ReadTokenHeader(texts[0], parts.key_id, parts.algorithm);
      !status.ok()) {
    return status;
  }
  const auto payload = DecodeBase64Url(texts[1]);
  if (payload) parts.claims = ParseJsonObject(*payload);
  if (parts.claims == nullptr) {
    return MalformedToken("the token's claims must be a JSON object in base64url");
  }
  if (texts[2].empty() || !DecodeBase64Url(texts[2])) {
    return MalformedToken("the token's signature must be in base64url");
  }
  const auto name = ClaimText(parts.claims.get(), "iss");
  const auto issuer = std::find_if(issuers_.begin(), issuers_.end(), [&](const Issuer& candidate) {
    return name == candidate.setting.issuer;
  });
  if (issuer == issuers_.end()) {
    return IdentityInvalid("unknown issuer", "the token is of an issuer that is not configured");
  }
  const std::lock_guard lock(verifying_[digest[0] % verifying_.size()]);
  if (const auto known = memory_.Find(digest, now.steady)) {
    ++from_memory_;
    return IdentityAt(*known, now.wall);
  }
  const auto key = FindKey(parts, *issuer);
  if (!key.ok()) return key.status();
  ++verified_;
  if (!key->key->HasSigned(std::string(token))) {
    return IdentityInvalid("bad signature", "the token's signature is not of its issuer's key");
  }
  KnownToken verified = ReadTokenClaims(parts.claims.get(), issuer->setting);
  auto identity = IdentityAt(verified, now.wall);
  memory_.Add(digest, std::move(verified), key->generation, now.steady);
  return identity;
}

absl::StatusOr<TokenVerifier::Key> TokenVerifier::FindKey(const Parts& parts,
                                                          const Issuer& issuer) const {
  Key found;
  {
    const std::lock_guard lock(keys_mutex_);
    found.keys = issuer.keys;
    found.generation = generation_;
  }
  found.key = found.keys->Find(parts.key_id, parts.algorithm);
  if (found.key != nullptr) return found;
  return IdentityInvalid("unknown key",
                         parts.key_id.empty()
                             ? "the token names no key, and its issuer has not just one for its alg"
                             : "the token names a key that its issuer does not have for its alg");
}

void TokenVerifier::Refresh() {
  bool all_ok = true;
  for (Issuer& issuer : issuers_) {
    const std::string& path = issuer.setting.keys_file;
    auto read = TokenKeys::Read(path);
    if (!read.ok()) {
      all_ok = false;
      const std::string error(read.status().message());
      if (error != std::exchange(issuer.last_error, error)) {
        spdlog::error("keys_file: \"{}\": {}; the keys from before stay in force", path, error);
        LogAudit("keys_file_refused",
                 {{"issuer", issuer.setting.issuer}, {"file", path}, {"problem", error}});
      }
      continue;
    }
    issuer.last_error.clear();
    if ((*read)->SameText(*issuer.keys)) continue;
    const std::size_t count = (*read)->size();
    {
      const std::lock_guard lock(keys_mutex_);
      issuer.keys = *std::move(read);
      memory_.Clear(++generation_);
    }
    ++key_changes_;
    spdlog::info("keys_file: \"{}\" has changed: {} {} in force", path, count,
                 count == 1 ? "key is" : "keys are");
    LogAudit("keys_file_read",
             {{"issuer", issuer.setting.issuer}, {"file", path}, {"keys", absl::StrCat(count)}});
  }
  key_files_ok_ = all_ok;
}

TokenStats TokenVerifier::stats() const {
  TokenStats stats;
  stats.verified = verified_;
  stats.from_memory = from_memory_;
  stats.refused = refused_;
  stats.remembered = memory_.size();
  stats.key_changes = key_changes_;
  stats.key_files_ok = key_files_ok_;
  return stats;
}

}  // namespace leasegateway
