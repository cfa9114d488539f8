#ifndef LEASE_GATEWAY_SERVICE_CALLERS_FILE_FIELD_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_FILE_FIELD_H_

#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "service/callers/yaml_tree.h"

namespace leasegateway {

// What is wrong with a file. Keeps the first 20.
class FileProblems {
 public:
  explicit FileProblems(std::string file) : file_(std::move(file)) {}

  void Add(const YamlNode& node, absl::string_view text);
  std::size_t count() const { return count_; }
  bool full() const { return count_ > problems_.size(); }  // those that follow are not kept
  // INVALID_ARGUMENT: a line each, in the order of the file, `FILE:LINE:COLUMN: text`.
  absl::Status Status() const;

 private:
  struct Problem {
    int line, column;
    std::string text;
  };
  const std::string file_;
  std::vector<Problem> problems_;
  std::size_t count_ = 0;  // those that are not kept, too
};

// A value of a file that is being read, and how it is reached: `callers[3].match.dns`. Outlived by
// its parent, the node and the problems. What is not as it must be is added to the problems.
class FileField {
 public:
  FileField(const YamlNode& root, FileProblems& problems) : node_(&root), problems_(&problems) {}
  FileField(const FileField& parent, absl::string_view key, const YamlNode& node)
      : node_(&node), problems_(parent.problems_), parent_(&parent), key_(key) {}
  FileField(const FileField& parent, std::size_t index, const YamlNode& node)
      : node_(&node), problems_(parent.problems_), parent_(&parent), index_(index) {}

  const YamlNode& node() const { return *node_; }
  bool Has(absl::string_view key) const;  // a mapping with it
  bool IsEmpty() const;                   // a mapping or a sequence with nothing in it

  // `PATH: rule`
  void Refuse(absl::string_view rule) const;
  // `PATH: "value": rule`; of a URL, without what may be secret.
  void RefuseValue(absl::string_view rule) const;
  void RefuseUrl(absl::string_view rule) const;
  // `PATH.KEY: rule`, where the key stands.
  void RefuseKey(const YamlNode& key, absl::string_view rule) const;

  enum class Presence { kOptional, kRequired, kRefused };
  struct Key;
  // A mapping of these keys and no others, each read if it is there, in this order.
  void ReadKeys(std::initializer_list<Key> keys) const;
  // A mapping of names, which `read` checks: `key` is where one stands.
  void ReadEntries(absl::FunctionRef<void(const YamlNode& key, const FileField& value)> read) const;
  // A sequence of one item at least.
  void ReadItems(absl::FunctionRef<void(const FileField&)> read) const;
  // A scalar that is not null; null: it is none.
  const std::string* Text() const;
  // The same, if `check` returns no rule that it breaks.
  void ReadText(std::string& text, absl::FunctionRef<std::string(absl::string_view)> check) const;

 private:
  bool Is(YamlNode::Kind kind, absl::string_view rule) const;
  std::string Path() const;

  const YamlNode* node_;
  FileProblems* problems_;
  const FileField* parent_ = nullptr;
  absl::string_view key_{};  // without data: an item
  std::size_t index_ = 0;
};

struct FileField::Key {
  const char* name;
  Presence presence;
  absl::FunctionRef<void(const FileField&)> read;
};

// "is unknown", and which of `names` may be meant.
std::string UnknownName(absl::string_view word, const std::vector<std::string>& names);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_FILE_FIELD_H_
