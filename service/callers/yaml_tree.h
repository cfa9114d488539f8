#ifndef LEASE_GATEWAY_SERVICE_CALLERS_YAML_TREE_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_YAML_TREE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace leasegateway {

// A value of a YAML file, with where it stands.
struct YamlNode {
  enum class Kind : std::uint8_t { kScalar, kSequence, kMapping };

  Kind kind = Kind::kScalar;
  bool plain = false;  // a scalar without quotes
  int line = 1;        // from 1
  int column = 1;      // from 1, in characters
  std::string text;    // of a scalar
  // A sequence's items; a mapping's keys, which are scalars that differ, each with its value after
  // it.
  std::vector<YamlNode> children;

  // Nothing was written there, or what YAML calls null.
  bool IsNull() const;
};

inline constexpr std::size_t kMaxYamlBytes = 8 << 20;
inline constexpr int kMaxYamlDepth = 16;                 // of values in values
inline constexpr std::size_t kMaxYamlNodes = 1'000'000;  // keys and values

// The one document of a text of UTF-8; a null scalar when there is none. What makes a small text
// large or a value mean something else is refused: anchors, aliases, tags. INVALID_ARGUMENT, as
// `FILE:LINE:COLUMN: rule`.
absl::StatusOr<YamlNode> ParseYaml(absl::string_view text, absl::string_view file);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_YAML_TREE_H_
