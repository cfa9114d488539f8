#include "service/callers/file_field.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "service/process/error_text.h"
#include "service/process/nearest_name.h"

namespace leasegateway {
namespace {

constexpr std::size_t kMaxProblems = 20;

// The value of a key in a mapping; null: it has none of that name.
const YamlNode* ValueOf(const YamlNode& mapping, absl::string_view key) {
  for (std::size_t i = 0; i < mapping.children.size(); i += 2) {
    if (mapping.children[i].text == key) return &mapping.children[i + 1];
  }
  return nullptr;
}

}  // namespace

void FileProblems::Add(const YamlNode& node, absl::string_view text) {
  ++count_;
  if (problems_.size() < kMaxProblems) {
    problems_.push_back({node.line, node.column, std::string(text)});
  }
}

absl::Status FileProblems::Status() const {
  if (problems_.empty()) return absl::OkStatus();
  std::vector<Problem> ordered = problems_;
  std::stable_sort(ordered.begin(), ordered.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  std::string lines;
  for (const Problem& problem : ordered) {
    absl::StrAppend(&lines, lines.empty() ? "" : "\n", file_, ":", problem.line, ":",
                    problem.column, ": ", problem.text);
  }
  return absl::InvalidArgumentError(lines);
}

bool FileField::Has(absl::string_view key) const {
  return node_->kind == YamlNode::Kind::kMapping && ValueOf(*node_, key) != nullptr;
}

bool FileField::IsEmpty() const {
  return node_->kind != YamlNode::Kind::kScalar && node_->children.empty();
}

void FileField::Refuse(absl::string_view rule) const {
  const std::string path = Path();
  problems_->Add(*node_, absl::StrCat(path, path.empty() ? "" : ": ", rule));
}

void FileField::RefuseValue(absl::string_view rule) const {
  problems_->Add(*node_, ErrorLine(Path(), Quote(node_->text), rule));
}

void FileField::RefuseUrl(absl::string_view rule) const {
  problems_->Add(*node_, ErrorLine(Path(), QuoteUrl(node_->text), rule));
}

void FileField::RefuseKey(const YamlNode& key, absl::string_view rule) const {
  problems_->Add(key, absl::StrCat(FileField(*this, key.text, key).Path(), ": ", rule));
}

void FileField::ReadKeys(std::initializer_list<Key> keys) const {
  if (!Is(YamlNode::Kind::kMapping, "must be a mapping of key: value")) return;
  std::size_t known = 0;
  for (const Key& key : keys) {
    if (const YamlNode* const value = ValueOf(*node_, key.name)) {
      ++known;
      key.read(FileField(*this, key.name, *value));
    } else if (key.presence == Presence::kRequired) {
      Refuse(absl::StrCat("must have ", key.name));
    }
  }
  if (known == node_->children.size() / 2) return;
  std::vector<std::string> names;
  for (const Key& key : keys) {
    if (key.presence != Presence::kRefused) names.emplace_back(key.name);
  }
  for (std::size_t i = 0; i < node_->children.size(); i += 2) {
    const YamlNode& key = node_->children[i];
    const bool is_known =
        std::any_of(keys.begin(), keys.end(), [&](const Key& one) { return one.name == key.text; });
    if (!is_known) RefuseKey(key, UnknownName(key.text, names));
  }
}

void FileField::ReadEntries(
    absl::FunctionRef<void(const YamlNode& key, const FileField& value)> read) const {
  if (!Is(YamlNode::Kind::kMapping, "must be a mapping of name: value")) return;
  for (std::size_t i = 0; i < node_->children.size(); i += 2) {
    const YamlNode& key = node_->children[i];
    read(key, FileField(*this, key.text, node_->children[i + 1]));
  }
}

void FileField::ReadItems(absl::FunctionRef<void(const FileField&)> read) const {
  if (!Is(YamlNode::Kind::kSequence, "must be a list")) return;
  if (node_->children.empty()) Refuse("must have at least one item");
  for (std::size_t i = 0; i < node_->children.size(); ++i) {
    read(FileField(*this, i, node_->children[i]));
  }
}

const std::string* FileField::Text() const {
  return Is(YamlNode::Kind::kScalar, "must be a single value") ? &node_->text : nullptr;
}

void FileField::ReadText(std::string& text,
                         absl::FunctionRef<std::string(absl::string_view)> check) const {
  const std::string* const value = Text();
  if (value == nullptr) return;
  const std::string rule = check(*value);
  if (!rule.empty()) return RefuseValue(rule);
  text = *value;
}

bool FileField::Is(YamlNode::Kind kind, absl::string_view rule) const {
  if (node_->IsNull()) {
    Refuse("has no value");
    return false;
  }
  if (node_->kind == kind) return true;
  Refuse(rule);
  return false;
}

std::string FileField::Path() const {
  if (parent_ == nullptr) return "";
  const std::string before = parent_->Path();
  if (key_.data() == nullptr) return absl::StrCat(before, "[", index_, "]");
  return absl::StrCat(before, before.empty() ? "" : ".", EscapeName(key_));
}

std::string UnknownName(absl::string_view word, const std::vector<std::string>& names) {
  const std::string nearest = NearestName(word, names);
  return nearest.empty() ? "is unknown" : absl::StrCat("is unknown; did you mean ", nearest, "?");
}

}  // namespace leasegateway
