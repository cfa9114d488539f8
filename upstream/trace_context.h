#ifndef LEASE_GATEWAY_UPSTREAM_TRACE_CONTEXT_H_
#define LEASE_GATEWAY_UPSTREAM_TRACE_CONTEXT_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace leasegateway {

// A span and the trace that it belongs to (W3C Trace Context, level 1). Neither id is all zeros.
struct TraceContext {
  std::array<std::uint8_t, 16> trace_id{};
  std::array<std::uint8_t, 8> span_id{};
  bool sampled = false;
  std::string tracestate;  // handed on as it came; empty: none

  std::string TraceIdHex() const;
  std::string SpanIdHex() const;
  // "00-TRACE-SPAN-FLAGS", flags other than `sampled` cleared.
  std::string Traceparent() const;
};

// The header `traceparent`. Nothing when it breaks a rule; of a version later than 00, the part
// that this one knows.
std::optional<TraceContext> ParseTraceparent(std::string_view header);

// The metadata `grpc-trace-bin`: OpenCensus's binary format, version 0, with all three fields.
std::optional<TraceContext> ParseTraceBin(std::string_view bytes);

// The header `tracestate`, its repetitions joined by commas, without empty members. Empty when it
// breaks a rule, has more than 32 members or more than 512 bytes: a trace without is a good one.
std::string CheckTracestate(std::string_view header);

// A trace that nobody has asked to be recorded, with random ids.
TraceContext NewTrace();
// A span below `parent`, in the same trace: with a random id.
TraceContext NewSpan(const TraceContext& parent);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRACE_CONTEXT_H_
