#include "service/callers/forwarded_certificate.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

// `why` and message of the refusal, or kind and name.
std::string HeaderOutcome(const std::string& header) {
  const auto identity = ReadForwardedCertificate(header);
  if (identity.ok()) {
    const std::string kind = v1::IdentityKind_Name(identity->kind).substr(14);
    return kind + " " + identity->name;
  }
  EXPECT_EQ(identity.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(identity.status()), "IDENTITY_INVALID");
  return MetadataOf(identity.status())["why"] + ": " + std::string(identity.status().message());
}

// The rule that a header breaks.
std::string HeaderRule(const std::string& header) {
  const auto parsed = ParseForwardedCertificates(header);
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

std::string SubjectRule(const std::string& subject) {
  const auto name = CommonNameOf(subject);
  return name.ok() ? "" : std::string(name.status().message());
}

TEST(ForwardedCertificateTest, AsIstioWritesIt) {
  EXPECT_EQ(HeaderOutcome("By=spiffe://cluster.local/ns/shop/sa/lease-gateway;"
                          "Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;"
                          "Subject=\"\";URI=spiffe://cluster.local/ns/shop/sa/orders"),
            "SPIFFE_ID spiffe://cluster.local/ns/shop/sa/orders");
}

TEST(ForwardedCertificateTest, AsEnvoyWritesIt) {
  EXPECT_EQ(
      HeaderOutcome(
          "By=spiffe://prod/gateway;"
          "Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;"
          "Cert=\"-----BEGIN%20CERTIFICATE-----%0AMIIC3g==%0A-----END%20CERTIFICATE-----%0A\";"
          "Chain=\"-----BEGIN%20CERTIFICATE-----%0AMIIC3g==%0A-----END%20CERTIFICATE-----%0A\";"
          "Subject=\"CN=Test Client,OU=Lyft,L=San Francisco,ST=CA,C=US\";"
          "URI=spiffe://prod/orders;DNS=Orders.Example;DNS=www.orders.example"),
      "SPIFFE_ID spiffe://prod/orders");
  EXPECT_EQ(HeaderOutcome("Hash=4;Subject=\"CN=a\";URI=;DNS=Orders.Example;DNS=www.orders.example"),
            "DNS_NAME orders.example");
  EXPECT_EQ(HeaderOutcome("Hash=4;Subject=\"CN=Test Client,OU=Lyft,C=US\";URI="),
            "COMMON_NAME Test Client");
  EXPECT_EQ(HeaderOutcome("Subject=\"CN=a\";URI=\"\";DNS=;DNS= "), "COMMON_NAME a");
  // A subject that is not needed is not read.
  EXPECT_EQ(HeaderOutcome("Subject=\"/C=DE\";DNS=orders"), "DNS_NAME orders");
  // Another kind of URI is nobody's name here.
  EXPECT_EQ(HeaderOutcome("Subject=\"CN=Test Client\";URI=http://testclient.lyft.com"),
            "COMMON_NAME Test Client");
  EXPECT_EQ(HeaderOutcome("URI=http://testclient.lyft.com;URI=spiffe://prod/orders"),
            "SPIFFE_ID spiffe://prod/orders");
}

// nginx: `proxy_set_header x-forwarded-client-cert 'Hash=$ssl_client_fingerprint;
// Subject="$ssl_client_s_dn"'`.
TEST(ForwardedCertificateTest, AsNginxWritesIt) {
  EXPECT_EQ(HeaderOutcome("Hash=07c1d5e3;Subject=\"CN=orders,O=Shop\\, Inc.,C=DE\""),
            "COMMON_NAME orders");
  EXPECT_EQ(HeaderOutcome("Hash=07c1d5e3;Subject=\"CN=Caf\\C3\\A9 \\\"No. 1\\\",C=FR\""),
            "COMMON_NAME Caf\xc3\xa9 \"No. 1\"");
  // $ssl_client_s_dn_legacy: a '/' in a name can't be told from one between names.
  EXPECT_EQ(HeaderOutcome("Subject=\"/C=DE/O=Shop/CN=orders\""),
            "malformed header: the subject in x-forwarded-client-cert must be a distinguished name "
            "of RFC 4514");
}

TEST(ForwardedCertificateTest, LastElementIsOfTheNearestProxy) {
  EXPECT_EQ(HeaderOutcome("By=spiffe://prod/edge;URI=spiffe://prod/admin,"
                          "By=spiffe://prod/gateway;URI=spiffe://prod/edge"),
            "SPIFFE_ID spiffe://prod/edge");
  EXPECT_EQ(HeaderOutcome("URI=spiffe://prod/admin , Subject=\"CN=edge\" "), "COMMON_NAME edge");
  EXPECT_EQ(HeaderOutcome("URI=spiffe://prod/admin,Hash=1"),
            "no name: the certificate has no SPIFFE ID, no DNS name and no common name");
}

TEST(ForwardedCertificateTest, QuotesKeepWhatSeparates) {
  // A name of the caller's choice can't become a pair or an element.
  EXPECT_EQ(HeaderOutcome("Subject=\"CN=x\\\";URI=spiffe://prod/admin,URI=spiffe://prod/admin\";"
                          "DNS=orders"),
            "DNS_NAME orders");
  EXPECT_EQ(HeaderOutcome("Subject=\"CN=a\\\\\";URI=spiffe://prod/orders"),
            "SPIFFE_ID spiffe://prod/orders");
  EXPECT_EQ(HeaderOutcome("Subject=\"CN=a\\\\\""), "COMMON_NAME a\\");
  EXPECT_EQ(HeaderOutcome("Subject=\"CN=a\\\\\\\"\\;URI=spiffe://prod/admin\""),
            "COMMON_NAME a\\\";URI=spiffe://prod/admin");
  EXPECT_EQ(HeaderOutcome("URI=\"spiffe://prod/orders\""), "SPIFFE_ID spiffe://prod/orders");
  EXPECT_EQ(HeaderOutcome("Subject=CN=orders"), "COMMON_NAME orders");
}

TEST(ForwardedCertificateTest, KeysAreInAnyCase) {
  EXPECT_EQ(*ParseForwardedCertificates("bY=spiffe://a;uRi=b;dNs=c;subject=\"CN=d\";New=e"),
            (std::vector<ForwardedCertificate>{ForwardedCertificate{"CN=d", {"b"}, {"c"}}}));
}

TEST(ForwardedCertificateTest, BadSyntaxIsRefused) {
  const std::string form = "must have pairs of the form KEY=VALUE";
  for (const char* header :
       {"", " ", ",", ";", "URI", "URI;", "=x", "\"URI\"=x", "URI=x;", "URI=x,", "URI=x, ",
        ",URI=x", "URI=x,,URI=y", "URI=x;;DNS=y", "U RI=x", "URI=x;,URI=y", "URI :x", "U-R=x"}) {
    EXPECT_EQ(HeaderRule(header), form) << header;
  }
  const std::string end = "has a quoted value without an end";
  for (const char* header : {"URI=\"", "URI=\"x", "URI=\"x\\\"", "URI=\"x\\", "URI=\"x;DNS=y"}) {
    EXPECT_EQ(HeaderRule(header), end) << header;
  }
  for (const char* header : {"URI=\"x\"y", "URI=\"x\" ;DNS=y", "URI=\"x\"\"y\""}) {
    EXPECT_EQ(HeaderRule(header), "has something after a value's closing quote") << header;
  }
  for (const char* header : {"URI=x\"y\"", "URI=x\\,y", "URI= \"x\""}) {
    EXPECT_EQ(HeaderRule(header), "has a quote or a backslash in a value that is not quoted")
        << header;
  }
  EXPECT_EQ(HeaderRule("Subject=\"CN=a\";subject=\"CN=b\""), "has two subjects in an element");
  EXPECT_EQ(HeaderRule("Subject=\"\";Subject=\"CN=b\""), "has two subjects in an element");
  EXPECT_EQ(HeaderRule("Subject=\"CN=a\",Subject=\"CN=b\""), "");
  EXPECT_EQ(HeaderOutcome("URI=x;;"), "malformed header: x-forwarded-client-cert " + form);
  // An element that is not the last one, too.
  EXPECT_EQ(HeaderOutcome("URI,URI=spiffe://prod/a"),
            "malformed header: x-forwarded-client-cert " + form);
}

TEST(ForwardedCertificateTest, OnlyPrintableAsciiOfLimitedSize) {
  for (const std::string& header : {std::string("URI=a\tb"), std::string("URI=\x7f"),
                                    std::string("URI=\xc3\xa9"), std::string("URI=a\0b", 7)}) {
    EXPECT_EQ(HeaderRule(header), "must be printable ASCII");
  }
  const std::string header = "URI=spiffe://prod/orders;Cert=";
  const std::string rest(kMaxForwardedCertificateBytes - header.size(), 'x');
  EXPECT_EQ(HeaderRule(header + rest), "");
  EXPECT_EQ(HeaderRule(header + rest + "x"), "must be at most 16 KiB");
}

TEST(ForwardedCertificateTest, BadNamesAreNotPassedOver) {
  EXPECT_EQ(HeaderOutcome("Subject=\"CN=a\";URI=spiffe://prod/../admin;DNS=orders"),
            "invalid name: the SPIFFE ID of the certificate must have no '.' or '..' in its path");
  EXPECT_EQ(HeaderOutcome("URI=SPIFFE://prod/a;DNS=orders"),
            "invalid name: the SPIFFE ID of the certificate must begin with spiffe://");
  EXPECT_EQ(HeaderOutcome("URI=spiffe://prod/a;URI=spiffe://prod/b"),
            "several names: the certificate has more than one SPIFFE ID");
  EXPECT_EQ(HeaderOutcome("Subject=\"CN=a\";DNS=*.example"),
            "invalid name: the DNS name of the certificate must have labels of letters, digits, "
            "'_', and '-' within");
  EXPECT_EQ(HeaderOutcome("Subject=\"CN=a\\00b\""),
            "invalid name: the common name of the certificate must have no control characters");
}

TEST(ForwardedCertificateTest, CommonNames) {
  EXPECT_EQ(*CommonNameOf(""), "");
  EXPECT_EQ(*CommonNameOf("O=Shop"), "");
  EXPECT_EQ(*CommonNameOf("O=Shop,CN=orders"), "orders");
  EXPECT_EQ(*CommonNameOf("UID=1+cn=orders;O=Shop"), "orders");
  EXPECT_EQ(*CommonNameOf("2.5.4.3=orders,1.2.3=#0403"), "orders");
  EXPECT_EQ(*CommonNameOf("OID.2.5.4.3=orders"), "orders");
  EXPECT_EQ(*CommonNameOf(" CN = orders  1 , O = Shop "), "orders  1");
  EXPECT_EQ(*CommonNameOf("CN=\\ orders\\ ,O=x"), " orders ");
  EXPECT_EQ(*CommonNameOf("CN=a\\,O=b\\+c\\;d\\\\e\\=f\\#g\\<h\\>"), "a,O=b+c;d\\e=f#g<h>");
  EXPECT_EQ(*CommonNameOf("CN=a=b"), "a=b");
  EXPECT_EQ(*CommonNameOf("CN=\\c3\\A9"), "\xc3\xa9");
  EXPECT_EQ(*CommonNameOf("O=x\\,CN\\=admin,CN=orders"), "orders");
}

TEST(ForwardedCertificateTest, BadSubjects) {
  const std::string form = "must be a distinguished name of RFC 4514";
  for (const char* subject :
       {"CN", "CN=a,", "CN=a,,O=b", ",CN=a", "=a", "CN=a,O", "CN=\"a\"", "CN=a<b", "CN=a>b",
        "CN=a\\", "CN=a\\x", "CN=a\\4", "CN=a\\4x", "/CN=a", "C N=a"}) {
    EXPECT_EQ(SubjectRule(subject), form) << subject;
  }
  EXPECT_EQ(SubjectRule("CN=a,CN=b"), "has more than one common name");
  EXPECT_EQ(SubjectRule("CN=a+2.5.4.3=b"), "has more than one common name");
  EXPECT_EQ(SubjectRule("CN=#0c0161"), "has a common name in hexadecimal");
}

}  // namespace
}  // namespace leasegateway
