// Who calls, as the wire says it: certificates of mutual TLS, bearer tokens and what a side-car
// forwards; what is refused, with which words, and that none of them is in an error or a log.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <chrono>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "service/process/logging.h"
#include "tests/support/callers_fixture.h"
#include "tests/support/tls_channel.h"
#include "tests/support/tls_peers.h"
#include "tests/support/token_maker.h"

namespace leasegateway {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kOrders[] = "URI=spiffe://prod/ns/shop/sa/orders";

// The first stretch of a secret that the text has; empty: none.
std::string LeakedInto(const std::string& text, const std::string& secret) {
  constexpr std::size_t kStretch = 12;
  for (const absl::string_view part : absl::StrSplit(secret, '.')) {
    for (std::size_t at = 0; at + kStretch <= part.size(); ++at) {
      const std::string stretch(part.substr(at, kStretch));
      if (text.find(stretch) != text.npos) return stretch;
    }
  }
  return "";
}

// An address of this machine that is not loopback's; nothing: it has none.
std::optional<std::string> OtherAddress() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return std::nullopt;
  std::optional<std::string> found;
  for (const ifaddrs* each = all; each != nullptr && !found; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    if ((each->ifa_flags & IFF_LOOPBACK) != 0 || (each->ifa_flags & IFF_UP) == 0) continue;
    char text[INET_ADDRSTRLEN] = {};
    const auto* const address = reinterpret_cast<const sockaddr_in*>(each->ifa_addr);
    if (inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text)) != nullptr) found = text;
  }
  freeifaddrs(all);
  return found;
}

class CallersIdentityTest : public CallersTest {
 protected:
  using Clock = std::chrono::system_clock;

  void WriteKeys(const std::vector<std::string>& keys) { Write("jwks.json", Jwks(keys)); }

  void Start(const std::function<void(Config&)>& adjust = nullptr) {
    WriteKeys({rsa_.Jwk(), p256_.Jwk(), ed25519_.Jwk()});
    StartWithCallers(
        "tokens:\n  - {issuer: \"https://issuer.example\", audiences: [lease-gateway], "
        "keys_file: " +
            Path("jwks.json") +
            "}\n"
            "roles: {reader: [read]}\n"
            "callers:\n"
            "  - {name: orders, match: {spiffe: \"spiffe://prod/ns/shop/sa/orders\"}, roles: "
            "{sales: [reader]}}\n"
            "  - {name: operators, match: {dns: ops.example}, roles: {sales: [reader]}}\n"
            "  - {name: old-crm, match: {common_name: Old CRM}, roles: {sales: [reader]}}\n"
            "  - {name: night-job, match: {token: {issuer: \"https://issuer.example\", subject: "
            "\"system:serviceaccount:shop:night-job\"}}, roles: {sales: [reader]}}\n",
        adjust);
  }
  void StartWithTls(const std::string& client_auth) {
    const auto identity = gateways_.Good();
    Start([&](Config& config) {
      config.tls_cert_file = Write("cert.pem", identity.certificate);
      config.tls_key_file = Write("key.pem", identity.key);
      config.tls_client_ca_file = Write("client-ca.pem", callers_.root.certificate);
      config.tls_client_auth = client_auth;
    });
  }

  // Over a connection of its own; `identity` null: without a certificate.
  std::unique_ptr<v1::LeaseService::Stub> TlsStub(const sandbox::CertificateAndKey* identity) {
    return v1::LeaseService::NewStub(
        TlsChannel(server_->port(), gateways_.root.certificate, identity));
  }

  using Headers = std::vector<std::pair<std::string, std::string>>;
  static Headers Bearer(const std::string& token) { return {{"authorization", "Bearer " + token}}; }
  static Headers Forwarded(const std::string& value) {
    return {{"x-forwarded-client-cert", value}};
  }
  grpc::Status Ask(v1::LeaseService::Stub& stub, const Headers& headers = {}) {
    const auto context = Context();
    for (const auto& [name, value] : headers) context->AddMetadata(name, value);
    who_.Clear();
    return stub.WhoAmI(context.get(), {}, &who_);
  }
  grpc::Status Ask(const Headers& headers) { return Ask(*stub_, headers); }

  void ExpectCaller(const grpc::Status& status, const std::string& caller, v1::IdentityKind kind,
                    const std::string& identity) {
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(who_.caller(), caller);
    EXPECT_EQ(who_.identity_kind(), kind);
    EXPECT_EQ(who_.identity(), identity);
  }
  static void ExpectInvalid(const grpc::Status& status, const std::string& why) {
    const Failure failure = Explain(status);
    EXPECT_EQ(failure.code, grpc::StatusCode::UNAUTHENTICATED) << status.error_message();
    ASSERT_EQ(failure.reason, "IDENTITY_INVALID") << status.error_message();
    EXPECT_EQ(failure.info.metadata().at("why"), why) << status.error_message();
  }
  void ExpectNightJob(const grpc::Status& status) {
    ExpectCaller(status, "night-job", v1::IDENTITY_KIND_TOKEN,
                 "https://issuer.example system:serviceaccount:shop:night-job");
  }

  static TokenClaims Claims() {
    auto claims = GoodClaims(Clock::now());
    claims.sub = "\"system:serviceaccount:shop:night-job\"";
    return claims;
  }
  static std::string In(std::chrono::seconds time) { return ClaimTime(Clock::now() + time); }

  const TokenKeyPair rsa_{KeyType::kRsa, "rsa"};
  const TokenKeyPair p256_{KeyType::kP256, "p256"};
  const TokenKeyPair ed25519_{KeyType::kEd25519, "ed25519"};
  const Authority gateways_{"serverAuth", {"localhost", "127.0.0.1"}};
  const Authority callers_{"clientAuth", {"ops.example"}};
  v1::WhoAmIResponse who_;
};

TEST_F(CallersIdentityTest, ACertificateSaysWhoCalls) {
  StartWithTls("require");
  const std::string orders = "spiffe://prod/ns/shop/sa/orders";
  const struct {
    const char* what;
    sandbox::CertificateAndKey certificate;
    const char* caller;
    v1::IdentityKind kind;
    std::string identity;
  } cases[] = {
      {"a SPIFFE ID before the others", callers_.Named("Old CRM", {"ops.example", orders}),
       "orders", v1::IDENTITY_KIND_SPIFFE_ID, orders},
      {"a SPIFFE ID beside another URI", callers_.Named("leaf", {"https://shop.example/", orders}),
       "orders", v1::IDENTITY_KIND_SPIFFE_ID, orders},
      {"a DNS name before a common name", callers_.Named("Old CRM", {"OPS.example", "x.example"}),
       "operators", v1::IDENTITY_KIND_DNS_NAME, "ops.example"},
      {"the second DNS name counts for nothing",
       callers_.Named("leaf", {"x.example", "ops.example"}), "anonymous",
       v1::IDENTITY_KIND_DNS_NAME, "x.example"},
      {"a common name alone", callers_.Named("Old CRM", {}), "old-crm",
       v1::IDENTITY_KIND_COMMON_NAME, "Old CRM"},
      {"somebody who is not in the file", callers_.Named("Old CRM", {orders + "/more"}),
       "anonymous", v1::IDENTITY_KIND_SPIFFE_ID, orders + "/more"},
  };
  for (const auto& [what, certificate, caller, kind, identity] : cases) {
    SCOPED_TRACE(what);
    ExpectCaller(Ask(*TlsStub(&certificate)), caller, kind, identity);
  }
  const auto two = callers_.Named("Old CRM", {orders, "spiffe://prod/ns/shop/sa/returns"});
  ExpectInvalid(Ask(*TlsStub(&two)), "several names");
}

// Whoever called before on the same thread, and whatever the file said then.
TEST_F(CallersIdentityTest, CertificatesTakeTurnsWhileTheFileChanges) {
  StartWithTls("request");
  const std::string orders = "spiffe://prod/ns/shop/sa/orders";
  const auto one = callers_.Named("leaf", {orders});
  const auto other = callers_.Named("Old CRM", {});
  const auto of_one = TlsStub(&one), of_other = TlsStub(&other), of_nobody = TlsStub(nullptr);
  for (int i = 0; i < 100; ++i) {
    ExpectCaller(Ask(*of_one), "orders", v1::IDENTITY_KIND_SPIFFE_ID, orders);
    ExpectCaller(Ask(*of_one), "orders", v1::IDENTITY_KIND_SPIFFE_ID, orders);
    ExpectCaller(Ask(*of_other), "old-crm", v1::IDENTITY_KIND_COMMON_NAME, "Old CRM");
    ExpectCaller(Ask(*of_nobody), "anonymous", v1::IDENTITY_KIND_ANONYMOUS, "");
  }
  WriteCallers("roles: {}\ncallers:\n  - {name: renamed, match: {spiffe: \"" + orders +
               "\"}, roles: {}}\n");
  bool renamed = false;
  for (int i = 0; i < 1000 && !renamed; ++i) {
    ASSERT_TRUE(Ask(*of_one).ok());
    renamed = who_.caller() == "renamed";
    if (!renamed) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(renamed);
  for (int i = 0; i < 20; ++i) {
    ExpectCaller(Ask(*of_one), "renamed", v1::IDENTITY_KIND_SPIFFE_ID, orders);
    ExpectCaller(Ask(*of_other), "anonymous", v1::IDENTITY_KIND_COMMON_NAME, "Old CRM");
  }
}

TEST_F(CallersIdentityTest, ATokenOfEachAlgorithmSaysWhoCalls) {
  Start();
  for (const auto* key : {&rsa_, &p256_, &ed25519_}) {
    SCOPED_TRACE(key->Algorithm());
    ExpectNightJob(Ask(Bearer(key->Sign(Claims().Json()))));
  }
  // The scheme's name has no case; audiences may be several.
  auto claims = Claims();
  claims.aud = R"(["other","lease-gateway"])";
  ExpectNightJob(Ask({{"authorization", "bearer " + rsa_.Sign(claims.Json())}}));
  claims.sub = "\"system:serviceaccount:shop:somebody\"";
  ExpectCaller(Ask(Bearer(rsa_.Sign(claims.Json()))), "anonymous", v1::IDENTITY_KIND_TOKEN,
               "https://issuer.example system:serviceaccount:shop:somebody");
}

TEST_F(CallersIdentityTest, ABadTokenIsRefusedAndNotEchoed) {
  Start([](Config& config) { config.max_metadata_bytes = 64 << 10; });
  const auto changed = [](const std::function<void(TokenClaims&)>& change) {
    auto claims = Claims();
    change(claims);
    return claims.Json();
  };
  const std::string good = rsa_.Sign(Claims().Json());
  const TokenKeyPair stranger(KeyType::kRsa, "rsa");
  const TokenKeyPair unknown(KeyType::kRsa, "unknown-key-of-nobody");
  const std::string hs256 = R"({"alg":"HS256","kid":"rsa","typ":"JWT"})";
  const struct {
    const char* what;
    Headers headers;
    const char* why;
  } cases[] = {
      {"expired",
       Bearer(rsa_.Sign(changed([](auto& c) { c.exp = In(std::chrono::seconds(-120)); }))),
       "expired"},
      {"without an expiry", Bearer(rsa_.Sign(changed([](auto& c) { c.exp = ""; }))), "malformed"},
      {"not yet valid",
       Bearer(rsa_.Sign(changed([](auto& c) { c.nbf = In(std::chrono::seconds(120)); }))),
       "not valid yet"},
      {"for others", Bearer(rsa_.Sign(changed([](auto& c) { c.aud = "\"secret-audience\""; }))),
       "wrong audience"},
      {"of an unknown issuer",
       Bearer(rsa_.Sign(changed([](auto& c) { c.iss = "\"https://secret.example\""; }))),
       "unknown issuer"},
      {"of an unknown key", Bearer(unknown.Sign(Claims().Json())), "unknown key"},
      {"of another key of that name", Bearer(stranger.Sign(Claims().Json())), "bad signature"},
      {"with another's signature",
       Bearer(good.substr(0, good.rfind('.')) +
              p256_.Sign(Claims().Json()).substr(p256_.Sign(Claims().Json()).rfind('.'))),
       "bad signature"},
      {"alg none", Bearer(UnsignedToken(Claims().Json())), "malformed"},
      {"HS256 with the public key", Bearer(ConfusedToken(rsa_, hs256, Claims().Json())),
       "malformed"},
      {"RS256 by its word, HS256 by its bytes",
       Bearer(ConfusedToken(rsa_, rsa_.Header(), Claims().Json())), "bad signature"},
      {"truncated", Bearer(good.substr(0, good.size() - 22)), "bad signature"},
      {"without its signature", Bearer(good.substr(0, good.rfind('.'))), "malformed"},
      {"oversized", Bearer(rsa_.Sign(changed([](auto& c) {
         c.more = "\"padding\":\"" + std::string(20'000, 'p') + "\"";
       }))),
       "malformed"},
      {"not of base64url", Bearer("a+/=." + good), "malformed"},
      {"twice",
       {{"authorization", "Bearer " + good}, {"authorization", "Bearer " + good}},
       "malformed"},
      {"without Bearer", {{"authorization", good}}, "unknown scheme"},
      {"of another scheme", {{"authorization", "Basic " + good}}, "unknown scheme"},
      {"no token", {{"authorization", "Bearer"}}, "malformed"},
  };
  for (const auto& [what, headers, why] : cases) {
    SCOPED_TRACE(what);
    const auto status = Ask(headers);
    ExpectInvalid(status, why);
    const std::string told = status.error_message() + status.error_details();
    EXPECT_EQ(LeakedInto(told, headers[0].second), "");
    // Nor what is in it.
    for (const char* word : {"secret", "night-job", "unknown-key-of-nobody", "pppp"}) {
      EXPECT_THAT(told, Not(HasSubstr(word)));
    }
  }
  ExpectNightJob(Ask(Bearer(good)));
}

// By the bounds of the port itself, where the token's own are wider.
TEST_F(CallersIdentityTest, AHugeTokenIsRefusedByThePort) {
  Start();
  const std::string token = std::string(40'000, 'a');
  const auto status = Ask(Bearer(token));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(LeakedInto(status.error_message() + status.error_details(), token), "");
}

TEST_F(CallersIdentityTest, KeysChangeWhileItRuns) {
  Start();
  const TokenKeyPair next(KeyType::kP256, "next");
  ExpectNightJob(Ask(Bearer(rsa_.Sign(Claims().Json()))));
  ExpectInvalid(Ask(Bearer(next.Sign(Claims().Json()))), "unknown key");
  const auto becomes = [&](const TokenKeyPair& key, bool good) {
    for (int i = 0; i < 1000; ++i) {
      if (Ask(Bearer(key.Sign(Claims().Json()))).ok() == good) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  };
  const std::string known = rsa_.Sign(Claims().Json());
  ExpectNightJob(Ask(Bearer(known)));
  WriteKeys({next.Jwk()});
  EXPECT_TRUE(becomes(next, true));
  // What was remembered of it does not help.
  ExpectInvalid(Ask(Bearer(known)), "unknown key");
  // A file that is no good leaves the keys that there are.
  Write("jwks.json", "{\"keys\":[");
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  ExpectNightJob(Ask(Bearer(next.Sign(Claims().Json()))));
  WriteKeys({rsa_.Jwk()});
  EXPECT_TRUE(becomes(rsa_, true));
  ExpectInvalid(Ask(Bearer(next.Sign(Claims().Json()))), "unknown key");
}

// What comes first is the answer, right or wrong.
TEST_F(CallersIdentityTest, TheFirstProofIsTheAnswer) {
  StartWithTls("request");
  const std::string good = rsa_.Sign(Claims().Json());
  const auto certificate = callers_.Good();
  const auto two = callers_.Named("leaf", {"spiffe://prod/a", "spiffe://prod/b"});
  const auto by_certificate = TlsStub(&certificate);
  const auto bare = TlsStub(nullptr);
  const auto both = [](Headers a, const Headers& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  const auto ops = [&](const grpc::Status& status) {
    ExpectCaller(status, "operators", v1::IDENTITY_KIND_DNS_NAME, "ops.example");
  };
  ops(Ask(*by_certificate, Bearer(good)));
  ops(Ask(*by_certificate, Bearer("none")));
  ExpectInvalid(Ask(*TlsStub(&two), Bearer(good)), "several names");
  for (auto* stub : {by_certificate.get(), bare.get()}) {
    ExpectCaller(Ask(*stub, both(Forwarded(kOrders), Bearer("none"))), "orders",
                 v1::IDENTITY_KIND_SPIFFE_ID, "spiffe://prod/ns/shop/sa/orders");
    ExpectInvalid(Ask(*stub, both(Forwarded("URI=\"open"), Bearer(good))), "malformed header");
  }
  ExpectNightJob(Ask(*bare, Bearer(good)));
  ExpectInvalid(Ask(*bare, Bearer("none")), "malformed");
  ExpectCaller(Ask(*bare), "anonymous", v1::IDENTITY_KIND_ANONYMOUS, "");
}

TEST_F(CallersIdentityTest, WithoutACertificateATokenGetsInOnlyWhereThatIsSaid) {
  const std::string good = rsa_.Sign(Claims().Json());
  StartWithTls("require");
  EXPECT_EQ(Ask(*TlsStub(nullptr), Bearer(good)).error_code(), grpc::StatusCode::UNAVAILABLE);
  server_.reset();
  StartWithTls("request");
  ExpectNightJob(Ask(*TlsStub(nullptr), Bearer(good)));
  // A bad one is none the better for it.
  const auto stranger = callers_.SelfSigned();
  EXPECT_EQ(Ask(*TlsStub(&stranger), Bearer(good)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(CallersIdentityTest, ASideCarSaysWhoCalls) {
  Start();
  const std::string orders = "spiffe://prod/ns/shop/sa/orders";
  const struct {
    const char* what;
    Headers headers;
    const char* caller;
    v1::IdentityKind kind;
    std::string identity;
  } cases[] = {
      {"as Istio writes it",
       Forwarded("By=spiffe://prod/ns/gw/sa/gateway;Hash=ab12;Subject=\"CN=a,O=\\\"x\\\"\";" +
                 std::string(kOrders)),
       "orders", v1::IDENTITY_KIND_SPIFFE_ID, orders},
      {"quotes around what separates",
       Forwarded("Subject=\"CN=x,O=URI=spiffe://prod/other;DNS=y\";URI=\"" + orders + "\""),
       "orders", v1::IDENTITY_KIND_SPIFFE_ID, orders},
      {"the last element counts",
       Forwarded("URI=spiffe://prod/first;DNS=ops.example," + std::string(kOrders)), "orders",
       v1::IDENTITY_KIND_SPIFFE_ID, orders},
      {"of several headers likewise",
       {{"x-forwarded-client-cert", kOrders}, {"x-forwarded-client-cert", "DNS=ops.example"}},
       "operators",
       v1::IDENTITY_KIND_DNS_NAME,
       "ops.example"},
      {"a common name", Forwarded("Subject=\"CN=Old CRM,O=Shop\""), "old-crm",
       v1::IDENTITY_KIND_COMMON_NAME, "Old CRM"},
  };
  for (const auto& [what, headers, caller, kind, identity] : cases) {
    SCOPED_TRACE(what);
    ExpectCaller(Ask(headers), caller, kind, identity);
  }
}

TEST_F(CallersIdentityTest, WhatASideCarBreaksIsRefused) {
  Start();
  const struct {
    std::string header;
    const char* why;
  } cases[] = {
      {"URI=\"spiffe://prod/ns/shop/sa/orders", "malformed header"},
      {"spiffe://prod/ns/shop/sa/orders", "malformed header"},
      {std::string(kOrders) + ",", "malformed header"},
      // The last counts, and all have to be right.
      {"URI=\"open," + std::string(kOrders), "malformed header"},
      {std::string(kOrders) + ";URI=spiffe://prod/two", "several names"},
      {"Hash=ab12", "no name"},
      {"URI=spiffe://PROD/ns", "invalid name"},
  };
  for (const auto& [header, why] : cases) {
    SCOPED_TRACE(header);
    const auto status = Ask(Forwarded(header));
    ExpectInvalid(status, why);
    EXPECT_EQ(LeakedInto(status.error_message() + status.error_details(), header), "");
  }
}

TEST_F(CallersIdentityTest, AStrangerMayNotForward) {
  const auto address = OtherAddress();
  if (!address) GTEST_SKIP() << "this machine has no address but loopback's";
  const auto listen = [&](const std::string& trusted) {
    Start([&](Config& config) {
      config.listen = "0.0.0.0:0";
      config.allow_plaintext = true;
      config.trusted_proxies = trusted;
    });
  };
  const auto dial = [&](const std::string& host) {
    return v1::LeaseService::NewStub(grpc::CreateChannel(
        host + ":" + std::to_string(server_->port()), grpc::InsecureChannelCredentials()));
  };
  listen("");
  ExpectInvalid(Ask(*dial(*address), Forwarded(kOrders)), "untrusted proxy");
  // Also one that says nothing, and whatever else is proved.
  ExpectInvalid(Ask(*dial(*address), Forwarded("")), "untrusted proxy");
  auto headers = Forwarded(kOrders);
  headers.push_back({"authorization", "Bearer " + rsa_.Sign(Claims().Json())});
  ExpectInvalid(Ask(*dial(*address), headers), "untrusted proxy");
  headers.erase(headers.begin());
  ExpectNightJob(Ask(*dial(*address), headers));
  ExpectCaller(Ask(*dial("127.0.0.1"), Forwarded(kOrders)), "orders", v1::IDENTITY_KIND_SPIFFE_ID,
               "spiffe://prod/ns/shop/sa/orders");
  server_.reset();
  listen(*address + "/32");
  ExpectCaller(Ask(*dial(*address), Forwarded(kOrders)), "orders", v1::IDENTITY_KIND_SPIFFE_ID,
               "spiffe://prod/ns/shop/sa/orders");
}

TEST_F(CallersIdentityTest, LogsNameTheCallerAndHaveNoToken) {
  std::ostringstream log;
  InitLoggingTo(log, "debug", "text");
  Start();
  auto expired = Claims();
  expired.exp = In(std::chrono::seconds(-120));
  const std::string good = rsa_.Sign(Claims().Json());
  const std::string bad = rsa_.Sign(expired.Json());
  ExpectNightJob(Ask(Bearer(good)));
  // By methods of which no other test is refused so: an audit says it once a minute.
  const auto expiring = Context();
  expiring->AddMetadata("authorization", "Bearer " + bad);
  v1::ListOperationsResponse none;
  ExpectInvalid(stub_->ListOperations(expiring.get(), {}, &none), "expired");
  v1::TerminateLeaseRequest request;
  request.set_phone_number("+13059478667");
  const auto context = Context();
  context->AddMetadata("authorization", "Bearer " + good);
  v1::TerminateLeaseResponse response;
  EXPECT_EQ(Explain(stub_->TerminateLease(context.get(), request, &response)).reason,
            "NOT_ALLOWED");
  server_.reset();
  SetLogLevel("info");
  ShutdownLogging();
  const std::string text = log.str();
  EXPECT_THAT(text, HasSubstr("caller=night-job"));
  EXPECT_THAT(text,
              testing::ContainsRegex(
                  " audit refused method=ListOperations reason=IDENTITY_INVALID why=expired"));
  EXPECT_THAT(text, testing::ContainsRegex(" audit refused method=TerminateLease "
                                           "reason=NOT_ALLOWED right=terminate caller=night-job "
                                           "identity=\"https://issuer.example "
                                           "system:serviceaccount:shop:night-job\""));
  EXPECT_EQ(LeakedInto(text, good), "");
  EXPECT_EQ(LeakedInto(text, bad), "");
}

}  // namespace
}  // namespace leasegateway
