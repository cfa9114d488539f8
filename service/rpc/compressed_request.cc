#include "service/rpc/compressed_request.h"

#include <dlfcn.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/compression.h>
#include <grpc/slice.h>
#include <grpc/slice_buffer.h>

#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "upstream/inflater.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

std::string_view View(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

// What comes out of an Inflater. Each slice is filled before the next one begins: a message that
// comes a byte at a time takes no more room than another.
class Slices {
 public:
  Slices() { grpc_slice_buffer_init(&slices_); }
  ~Slices() {
    grpc_slice_unref(last_);
    grpc_slice_buffer_destroy(&slices_);
  }
  Slices(const Slices&) = delete;
  Slices& operator=(const Slices&) = delete;

  char* MakeRoom(std::size_t wanted) {
    if (room() == 0) {
      Add();
      last_ = grpc_slice_malloc(wanted);
    }
    return reinterpret_cast<char*>(GRPC_SLICE_START_PTR(last_)) + written_;
  }
  std::size_t room() const { return GRPC_SLICE_LENGTH(last_) - written_; }
  void Extend(std::size_t written) { written_ += written; }

  // Puts them into `other`.
  void Swap(grpc_slice_buffer* other) {
    Add();
    grpc_slice_buffer_swap(&slices_, other);
  }

 private:
  void Add() {
    if (written_ == 0) return;
    GRPC_SLICE_SET_LENGTH(last_, written_);
    grpc_slice_buffer_add(&slices_, last_);
    last_ = grpc_empty_slice();
    written_ = 0;
  }

  grpc_slice_buffer slices_;
  grpc_slice last_ = grpc_empty_slice();
  std::size_t written_ = 0;  // to `last_`
};

absl::Status TooLarge(std::size_t limit) {
  return MakeError(
      absl::StatusCode::kResourceExhausted, reason::kRequestTooLarge,
      absl::StrCat("Received message larger than max (inflated, more than ", limit, ")"));
}

absl::Status Broken(absl::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest,
                   absl::StrCat("the request's compression is broken: ", what));
}

absl::Status StatusOf(Inflater::Outcome outcome, const Inflater& inflater, std::size_t limit) {
  switch (outcome) {
    case Inflater::Outcome::kOk:
      return absl::OkStatus();
    case Inflater::Outcome::kTooLarge:
      return TooLarge(limit);
    case Inflater::Outcome::kCorrupt:
      return Broken(inflater.problem());
    case Inflater::Outcome::kCutOff:
      return Broken("it is cut off");
    case Inflater::Outcome::kTrailing:
      break;
  }
  return Broken("there is something behind it");
}

// Makes it what is no message, and frees what it was. (The library would leak a request of which no
// reader can be made.)
void MakeUnreadable(grpc_byte_buffer* message) {
  grpc_slice_buffer* const slices = &message->data.raw.slice_buffer;
  grpc_slice_buffer_reset_and_unref(slices);
  grpc_slice_buffer_add(slices, grpc_slice_from_static_string("\xff"));  // a cut-off tag
  message->data.raw.compression = GRPC_COMPRESS_NONE;
}

}  // namespace

absl::Status Inflate(grpc_byte_buffer* message, std::size_t limit) {
  if (message == nullptr || message->type != GRPC_BB_RAW) return absl::OkStatus();
  auto& raw = message->data.raw;
  if (raw.compression == GRPC_COMPRESS_NONE) return absl::OkStatus();
  Inflater inflater(
      raw.compression == GRPC_COMPRESS_GZIP ? Inflater::Format::kGzip : Inflater::Format::kZlib,
      limit);
  Slices inflated;
  auto outcome = Inflater::Outcome::kOk;
  for (std::size_t i = 0; i < raw.slice_buffer.count && outcome == Inflater::Outcome::kOk; ++i) {
    outcome = inflater.Put(View(raw.slice_buffer.slices[i]), inflated);
  }
  if (outcome == Inflater::Outcome::kOk) outcome = inflater.Finish();
  if (outcome != Inflater::Outcome::kOk) return StatusOf(outcome, inflater, limit);
  inflated.Swap(&raw.slice_buffer);
  raw.compression = GRPC_COMPRESS_NONE;
  return absl::OkStatus();
}

}  // namespace leasegateway

// gRPC's libraries call this one: what a program defines comes before what its libraries do.
extern "C" int grpc_byte_buffer_reader_init(grpc_byte_buffer_reader* reader,
                                            grpc_byte_buffer* buffer) {
  using Function = int (*)(grpc_byte_buffer_reader*, grpc_byte_buffer*);
  static const auto library_s =
      reinterpret_cast<Function>(dlsym(RTLD_NEXT, "grpc_byte_buffer_reader_init"));
  if (!leasegateway::Inflate(buffer, leasegateway::kMostOfOwnServices).ok()) {
    leasegateway::MakeUnreadable(buffer);
  }
  return library_s(reader, buffer);
}
