// What one caller can make the gateway hold: metadata, streams, calls, and requests that are larger
// than they look.

#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/gateway_fixture.h"
#include "tests/support/gzip.h"
#include "tests/support/http_client.h"
#include "tests/support/raw_message.h"

namespace leasegateway {
namespace {

using grpc::ByteBuffer;
using grpc::StatusCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr char kLeaseService[] = "/leasegateway.v1.LeaseService/";
constexpr char kHealth[] = "/grpc.health.v1.Health/Check";
constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
// HealthCheckRequest, and a response that says SERVING.
constexpr char kHealthOfLiveness[] = "\x0a\x08liveness";
constexpr char kServing[] = "\x08\x01";
// ServerReflectionRequest: list_services.
const std::string kListServices("\x3a\x00", 2);

constexpr std::size_t kBomb = 100 << 20;

struct RawAnswer {
  grpc::Status status;
  std::string bytes;
  std::string pushback;  // grpc-retry-pushback-ms; empty: none
};

std::size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::size_t>(getpagesize());
}

// The most memory over what there was at its beginning, as seen every half millisecond.
class MemoryWatch {
 public:
  ~MemoryWatch() { Stop(); }
  std::size_t Stop() {
    stopped_ = true;
    if (thread_.joinable()) thread_.join();
    return most_ > before_ ? most_ - before_ : 0;
  }

 private:
  const std::size_t before_ = ResidentBytes();
  std::atomic<std::size_t> most_{0};
  std::atomic<bool> stopped_{false};
  std::thread thread_{[this] {
    while (!stopped_) {
      most_ = std::max<std::size_t>(most_, ResidentBytes());
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  }};
};

// A frame of HTTP/2 (RFC 9113, 4.1).
std::string FrameOf(char type, char flags, char stream, const std::string& payload) {
  const auto size = payload.size();
  std::string frame{static_cast<char>(size >> 16),
                    static_cast<char>(size >> 8),
                    static_cast<char>(size),
                    type,
                    flags,
                    0,
                    0,
                    0,
                    stream};
  return frame + payload;
}

// A field of HPACK as it is (RFC 7541, 6.2.2). Both shorter than 127 bytes.
std::string FieldOf(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

class RequestLimits : public GatewayTest {
 protected:
  void StartWithAdmin(const std::function<void(Config&)>& adjust = nullptr) {
    StartGateway([&](Config& config) {
      config.admin_listen = "127.0.0.1:0";
      if (adjust) adjust(config);
    });
  }

  // Sends the bytes as they are. They are said to be compressed when `compression` says so.
  RawAnswer Raw(const std::string& method, const std::string& bytes,
                grpc_compression_algorithm compression = GRPC_COMPRESS_NONE) {
    grpc::TemplatedGenericStub<ByteBuffer, ByteBuffer> stub(channel_);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + seconds(20));
    context.set_compression_algorithm(compression);
    const ByteBuffer request = RawMessage(bytes, compression);
    ByteBuffer response;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, method, grpc::StubOptions(), &request, &response,
                   [&done](grpc::Status status) { done.set_value(std::move(status)); });
    RawAnswer answer;
    answer.status = done.get_future().get();
    if (answer.status.ok()) answer.bytes = BytesOf(response);
    const auto& trailers = context.GetServerTrailingMetadata();
    const auto pushback = trailers.find("grpc-retry-pushback-ms");
    if (pushback != trailers.end()) {
      answer.pushback.assign(pushback->second.data(), pushback->second.size());
    }
    return answer;
  }

  double Metric(const std::string& name) {
    const std::string text = Http(server_->admin_port(), "GET", "/metrics").body;
    const auto at = text.find("\n" + name + " ");
    return at == text.npos ? -1 : std::stod(text.substr(at + 2 + name.size()));
  }
  void AwaitCalls(double calls) {
    const auto end = Clock::now() + seconds(10);
    while (Metric("lease_gateway_calls") != calls && Clock::now() < end) {
      std::this_thread::sleep_for(milliseconds(5));
    }
    ASSERT_EQ(Metric("lease_gateway_calls"), calls);
  }
};

// By gRPC's own client, which compresses what it is told to.
TEST_F(RequestLimits, CompressedRequestsAreServed) {
  StartGateway();
  const auto numbers = Available(20);
  for (const auto compression : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    v1::BatchGetNumbersRequest request;
    for (const auto& number : numbers) request.add_phone_numbers(number);
    v1::BatchGetNumbersResponse response;
    const auto context = Context();
    context->set_compression_algorithm(compression);
    const auto status = stub_->BatchGetNumbers(context.get(), request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.results_size(), 20);
    EXPECT_TRUE(response.results(19).has_number());

    v1::WatchAvailabilityResponse state;
    const auto watching = Context();
    watching->set_compression_algorithm(compression);
    v1::WatchAvailabilityRequest filtered;
    filtered.mutable_filter()->add_countries("US");
    const auto watch = stub_->WatchAvailability(watching.get(), filtered);
    EXPECT_TRUE(watch->Read(&state));
    watching->TryCancel();
  }
}

TEST_F(RequestLimits, BombIsRefusedAndTakesNoMemory) {
  StartGateway();
  const std::pair<std::string, grpc_compression_algorithm> bombs[] = {
      {GzipBomb(kBomb), GRPC_COMPRESS_GZIP}, {ZlibBomb(kBomb), GRPC_COMPRESS_DEFLATE}};
  ASSERT_LT(bombs[0].first.size(), 1u << 20) << "it would be refused as it is";
  Raw(absl::StrCat(kLeaseService, "GetNumber"), bombs[0].first, bombs[0].second);  // all is warm
  MemoryWatch watch;
  std::vector<std::future<RawAnswer>> answers;
  for (const char* method : {"GetNumber", "ListAvailableNumbers", "CreateLease"}) {
    for (const auto& bomb : bombs) {
      answers.push_back(std::async(std::launch::async, [this, method, &bomb] {
        return Raw(absl::StrCat(kLeaseService, method), bomb.first, bomb.second);
      }));
    }
  }
  for (auto& each : answers) {
    const RawAnswer answer = each.get();
    const Failure failure = Explain(answer.status);
    EXPECT_EQ(failure.code, StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_EQ(failure.reason, "REQUEST_TOO_LARGE");
    EXPECT_EQ(answer.status.error_message(),
              "Received message larger than max (inflated, more than 1048576)");
    EXPECT_EQ(answer.pushback, "-1") << "it would be too large again";
  }
  EXPECT_LT(watch.Stop(), 64u << 20);
}

TEST_F(RequestLimits, BombIsRefusedByAWatchAsWell) {
  StartGateway();
  const RawAnswer answer =
      Raw(absl::StrCat(kLeaseService, "WatchAvailability"), GzipBomb(kBomb), GRPC_COMPRESS_GZIP);
  EXPECT_EQ(Explain(answer.status).reason, "REQUEST_TOO_LARGE");
}

TEST_F(RequestLimits, MaxRequestBytesIsTheLimitOfBoth) {
  StartGateway([](Config& config) { config.max_request_bytes = 4'096; });
  const std::string method = absl::StrCat(kLeaseService, "BatchGetNumbers");
  v1::BatchGetNumbersRequest request;
  for (int i = 0; i < 900; ++i) request.add_phone_numbers("+13055550100");
  const std::string large = request.SerializeAsString();
  const RawAnswer plain = Raw(method, large);
  EXPECT_EQ(plain.status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(plain.status.error_message().substr(0, 32), "Received message larger than max");
  const RawAnswer compressed = Raw(method, Gzip(large), GRPC_COMPRESS_GZIP);
  EXPECT_EQ(compressed.status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(compressed.status.error_message(),
            "Received message larger than max (inflated, more than 4096)");
}

TEST_F(RequestLimits, BrokenCompressionIsAnInvalidRequest) {
  StartGateway();
  std::string bytes = Gzip("some text");
  bytes[bytes.size() - 6] ^= 1;
  for (const char* method : {"GetNumber", "CreateLease"}) {
    const RawAnswer answer = Raw(absl::StrCat(kLeaseService, method), bytes, GRPC_COMPRESS_GZIP);
    const Failure failure = Explain(answer.status);
    EXPECT_EQ(failure.code, StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(failure.reason, "INVALID_REQUEST");
  }
}

// Which gRPC itself serves on the port.
TEST_F(RequestLimits, OtherServicesTakeCompressedRequests) {
  StartGateway();
  ASSERT_EQ(Raw(kHealth, kHealthOfLiveness).bytes, kServing);
  EXPECT_EQ(Raw(kHealth, Gzip(kHealthOfLiveness), GRPC_COMPRESS_GZIP).bytes, kServing);
  EXPECT_EQ(Raw(kHealth, Zlib(kHealthOfLiveness), GRPC_COMPRESS_DEFLATE).bytes, kServing);
  EXPECT_EQ(Raw(kHealth, Zlib("\x0a\x07nothing"), GRPC_COMPRESS_DEFLATE).status.error_code(),
            StatusCode::NOT_FOUND);

  const std::string services = Raw(kReflection, kListServices).bytes;
  ASSERT_NE(services.find("leasegateway.v1.LeaseService"), services.npos);
  const auto same = [&](const std::string& answer) {
    return answer.find("leasegateway.v1.LeaseService") != answer.npos;
  };
  EXPECT_TRUE(same(Raw(kReflection, Gzip(kListServices), GRPC_COMPRESS_GZIP).bytes));
  EXPECT_TRUE(same(Raw(kReflection, Zlib(kListServices), GRPC_COMPRESS_DEFLATE).bytes));
}

TEST_F(RequestLimits, OtherServicesRefuseABomb) {
  StartGateway();
  const std::string bomb = GzipBomb(kBomb);
  Raw(kHealth, bomb, GRPC_COMPRESS_GZIP);
  MemoryWatch watch;
  const RawAnswer health = Raw(kHealth, bomb, GRPC_COMPRESS_GZIP);
  EXPECT_EQ(health.status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(health.status.error_message(), "could not parse request");
  // To it, a message that can't be read is the end of the stream, and that is no error.
  const RawAnswer reflection = Raw(kReflection, bomb, GRPC_COMPRESS_GZIP);
  EXPECT_EQ(reflection.bytes, "can't be read") << "there is none";
  EXPECT_LT(watch.Stop(), 64u << 20);
}

TEST_F(RequestLimits, CallsAboveTheMostAreOverloaded) {
  StartWithAdmin([](Config& config) { config.max_calls = 2; });
  const std::string number = FirstAvailable();
  Fault(R"({"route":"*","count":2,"kind":"hang"})");
  std::vector<std::future<grpc::Status>> hanging;
  for (int i = 0; i < 2; ++i) {
    // Each a number of its own, as equal reads would share one request.
    hanging.push_back(std::async(std::launch::async, [this, i] {
      return Get("+1305555010" + std::to_string(i), nullptr, 3'000);
    }));
  }
  AwaitCalls(2);

  v1::GetNumberRequest request;
  request.set_phone_number(number);
  request.mutable_max_staleness();
  const auto before = Clock::now();
  const RawAnswer refused =
      Raw(absl::StrCat(kLeaseService, "GetNumber"), request.SerializeAsString());
  EXPECT_LT(Clock::now() - before, seconds(1));
  const Failure failure = Explain(refused.status);
  EXPECT_EQ(failure.code, StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(failure.reason, "OVERLOADED");
  EXPECT_EQ(failure.info.metadata().at("request_sent"), "false");
  EXPECT_EQ(failure.detail_types.count("RetryInfo"), 1u);
  EXPECT_EQ(refused.pushback, "1000");
  EXPECT_EQ(Explain(Lease(number)).reason, "OVERLOADED");
  EXPECT_EQ(CountInLedger("lease", number), 0);

  // What memory has, what can't be served anyway, watches and gRPC's own services.
  EXPECT_EQ(FirstAvailable(), number);
  EXPECT_EQ(Explain(Get("no number")).reason, "INVALID_PHONE_NUMBER");
  const auto watching = Context();
  v1::WatchAvailabilityResponse state;
  EXPECT_TRUE(stub_->WatchAvailability(watching.get(), {})->Read(&state));
  watching->TryCancel();
  EXPECT_EQ(Raw(kHealth, kHealthOfLiveness).bytes, kServing);
  EXPECT_FALSE(Raw(kReflection, kListServices).bytes.empty());
  EXPECT_EQ(Metric("lease_gateway_calls"), 2);
  EXPECT_EQ(Metric("lease_gateway_calls_refused_total"), 2);

  // The deadline of those that hang is their end.
  for (auto& each : hanging) EXPECT_FALSE(each.get().ok());
  AwaitCalls(0);
  EXPECT_TRUE(Get(number).ok());
}

TEST_F(RequestLimits, CallerThatGoesAwayMakesRoom) {
  StartWithAdmin([](Config& config) { config.max_calls = 1; });
  const std::string number = FirstAvailable();
  Fault(R"({"route":"*","count":1,"kind":"hang"})");
  grpc::ClientContext context;
  auto hanging = std::async(std::launch::async, [&] {
    v1::GetNumberRequest request;
    request.set_phone_number("+13055550100");
    request.mutable_max_staleness();
    v1::GetNumberResponse response;
    return stub_->GetNumber(&context, request, &response);
  });
  AwaitCalls(1);
  context.TryCancel();
  EXPECT_EQ(hanging.get().error_code(), StatusCode::CANCELLED);
  AwaitCalls(0);
  EXPECT_TRUE(Get(number).ok());
}

// gRPC's client keeps to what the gateway says in its SETTINGS.
TEST_F(RequestLimits, MaxStreamsIsOfAConnection) {
  StartWithAdmin([](Config& config) { config.max_streams = 2; });
  FirstAvailable();
  Fault(R"({"route":"*","count":3,"kind":"hang"})");
  std::vector<std::future<grpc::Status>> hanging;
  for (int i = 0; i < 3; ++i) {
    hanging.push_back(std::async(std::launch::async, [this, i] {
      return Get("+1305555010" + std::to_string(i), nullptr, 2'000);
    }));
  }
  AwaitCalls(2);
  for (auto& each : hanging) EXPECT_EQ(each.get().error_code(), StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(RequestLimits, MaxMetadataBytesIsOfACall) {
  const auto call_with = [this](std::size_t bytes) {
    const auto context = Context();
    context->AddMetadata("some-metadata", std::string(bytes, 'm'));
    v1::ListAvailableNumbersResponse response;
    return stub_->ListAvailableNumbers(context.get(), {}, &response);
  };
  StartGateway([](Config& config) { config.max_metadata_bytes = 32 << 10; });
  ASSERT_TRUE(call_with(1).ok()) << "the gateway's limit is known";
  EXPECT_TRUE(call_with(31 << 10).ok());
  const auto refused = call_with(33 << 10);
  EXPECT_EQ(refused.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(refused.error_message().find("metadata size exceeds"), std::string::npos)
      << refused.error_message();
  // Depending on how such a header arrives in parts, gRPC 1.51 ends the call, or its connection
  // with it, which the channel learns a little later.
  auto after = call_with(1);
  for (int i = 0; i < 10 && after.error_code() == StatusCode::UNAVAILABLE; ++i)
    after = call_with(1);
  EXPECT_TRUE(after.ok()) << after.error_code() << ": " << after.error_message();
}

// What the gateway says of itself on the wire, to whichever client.
TEST_F(RequestLimits, SettingsHaveTheLimitsAndRepliesTheCompressions) {
  StartGateway([](Config& config) {
    config.max_streams = 0x1234;
    config.max_metadata_bytes = 0x5678;
  });
  FirstAvailable();
  HttpClient client(server_->port());
  client.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + FrameOf(4, 0, 0, ""));
  client.Send(FrameOf(1, 4, 1,
                      FieldOf(":method", "POST") + FieldOf(":scheme", "http") +
                          FieldOf(":path", absl::StrCat(kLeaseService, "ListAvailableNumbers")) +
                          FieldOf(":authority", "test") + FieldOf("te", "trailers") +
                          FieldOf("content-type", "application/grpc")) +
              FrameOf(0, 1, 1, std::string(5, '\0')));
  const std::string accepted = "identity, deflate, gzip";
  const std::string all = client.ReadUntil(
      [&](const std::string& sofar) { return sofar.find(accepted) != sofar.npos; });
  EXPECT_NE(all.find("grpc-accept-encoding"), all.npos);
  EXPECT_NE(all.find(std::string("\0\3\0\0\x12\x34", 6)), all.npos) << "MAX_CONCURRENT_STREAMS";
  EXPECT_NE(all.find(std::string("\0\6\0\0\x56\x78", 6)), all.npos) << "MAX_HEADER_LIST_SIZE";
}

// Each call of reflection has a thread of its own to its end.
TEST_F(RequestLimits, ReflectionHasAFewThreads) {
  StartGateway();
  constexpr int kStreams = 100;
  grpc::GenericStub stub(channel_);
  grpc::CompletionQueue queue;
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call;
    grpc::Status status;
  };
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < kStreams; ++i) {
    auto& stream = *streams.emplace_back(std::make_unique<Stream>());
    stream.call = stub.PrepareCall(&stream.context, kReflection, &queue);
    stream.call->StartCall(nullptr);
    stream.call->Finish(&stream.status, &stream);
  }
  int refused = 0;
  void* tag = nullptr;
  bool ok = false;
  const auto end = std::chrono::system_clock::now() + seconds(10);
  for (int left = 2 * kStreams; left > 0; --left) {
    const auto next =
        queue.AsyncNext(&tag, &ok, refused < 30 ? end : std::chrono::system_clock::now());
    if (next != grpc::CompletionQueue::GOT_EVENT) break;
    if (tag == nullptr) continue;
    EXPECT_EQ(static_cast<Stream*>(tag)->status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
    ++refused;
  }
  EXPECT_GE(refused, 30);
  EXPECT_TRUE(Get(FirstAvailable()).ok());
  for (const auto& stream : streams) stream->context.TryCancel();
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  const auto served = [this] { return !Raw(kReflection, kListServices).bytes.empty(); };
  while (!served() && std::chrono::system_clock::now() < end) {
  }
  EXPECT_TRUE(served());
}

}  // namespace
}  // namespace leasegateway
