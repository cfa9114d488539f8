#include "service/callers/yaml_tree.h"

#include <yaml.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "service/process/error_text.h"

namespace leasegateway {
namespace {

// libyaml's parser, event by event.
class YamlEvents {
 public:
  explicit YamlEvents(absl::string_view text) : text_(text) {
    initialized_ = yaml_parser_initialize(&parser_) != 0;
    if (!initialized_) return;
    // Otherwise a byte order mark would choose.
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text_.data()),
                                 text_.size());
  }
  ~YamlEvents() {
    if (has_event_) yaml_event_delete(&event_);
    if (initialized_) yaml_parser_delete(&parser_);
  }
  YamlEvents(const YamlEvents&) = delete;
  YamlEvents& operator=(const YamlEvents&) = delete;

  // The next event, until the one after. Null: the text is no YAML.
  const yaml_event_t* Next() {
    if (has_event_) yaml_event_delete(&event_);
    has_event_ = initialized_ && yaml_parser_parse(&parser_, &event_) != 0;
    return has_event_ ? &event_ : nullptr;
  }

  // After Next() has returned null.
  std::string Problem() const {
    return absl::StrCat("is not YAML: ",
                        parser_.problem == nullptr ? "no memory" : parser_.problem);
  }
  yaml_mark_t ProblemMark() const {
    if (parser_.error != YAML_READER_ERROR) return parser_.problem_mark;
    // It knows the byte alone.
    yaml_mark_t mark{};
    const absl::string_view before = text_.substr(0, parser_.problem_offset);
    mark.line = std::count(before.begin(), before.end(), '\n');
    const std::size_t start = before.rfind('\n');
    for (const char c : before.substr(start == before.npos ? 0 : start + 1)) {
      mark.column += (c & 0xC0) == 0x80 ? 0 : 1;
    }
    return mark;
  }

 private:
  const absl::string_view text_;
  yaml_parser_t parser_{};
  yaml_event_t event_{};
  bool initialized_ = false;
  bool has_event_ = false;
};

// Builds the tree, depth first.
class YamlBuilder {
 public:
  YamlBuilder(absl::string_view text, absl::string_view file) : events_(text), file_(file) {}

  absl::StatusOr<YamlNode> Document() {
    YamlNode root;
    root.plain = true;
    if (Read(root)) return root;
    return absl::InvalidArgumentError(error_);
  }

 private:
  // Each returns false when there was a problem, which error_ has then.

  bool Read(YamlNode& root) {
    const yaml_event_t* event = Next();  // the stream's start
    if (event == nullptr) return false;
    if ((event = Next()) == nullptr) return false;
    if (event->type == YAML_STREAM_END_EVENT) return true;
    if ((event = Next()) == nullptr || !Value(*event, 1, root)) return false;
    if (Next() == nullptr) return false;  // the document's end
    if ((event = Next()) == nullptr) return false;
    return event->type == YAML_STREAM_END_EVENT ||
           Fail(event->start_mark, "must be one YAML document");
  }

  const yaml_event_t* Next() {
    const yaml_event_t* const event = events_.Next();
    if (event == nullptr) Fail(events_.ProblemMark(), events_.Problem());
    return event;
  }

  bool Value(const yaml_event_t& event, int depth, YamlNode& node) {
    node.line = static_cast<int>(event.start_mark.line) + 1;
    node.column = static_cast<int>(event.start_mark.column) + 1;
    if (++nodes_ > kMaxYamlNodes) {
      return Fail(event.start_mark, absl::StrCat("has more than ", kMaxYamlNodes, " values"));
    }
    if (depth > kMaxYamlDepth) {
      return Fail(event.start_mark, absl::StrCat("is deeper than ", kMaxYamlDepth, " levels"));
    }
    switch (event.type) {
      case YAML_SCALAR_EVENT: {
        const auto& scalar = event.data.scalar;
        if (!CheckProperties(event, scalar.anchor, scalar.tag)) return false;
        node.kind = YamlNode::Kind::kScalar;
        node.plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
        node.text.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
        return true;
      }
      case YAML_SEQUENCE_START_EVENT: {
        const auto& start = event.data.sequence_start;
        if (!CheckProperties(event, start.anchor, start.tag)) return false;
        node.kind = YamlNode::Kind::kSequence;
        return Children(YAML_SEQUENCE_END_EVENT, depth, node);
      }
      case YAML_MAPPING_START_EVENT: {
        const auto& start = event.data.mapping_start;
        if (!CheckProperties(event, start.anchor, start.tag)) return false;
        node.kind = YamlNode::Kind::kMapping;
        return Children(YAML_MAPPING_END_EVENT, depth, node) && CheckKeys(node);
      }
      case YAML_ALIAS_EVENT:
        return Fail(event.start_mark, "is an alias, which is not allowed here");
      default:
        return Fail(event.start_mark, "is not YAML");
    }
  }

  bool CheckProperties(const yaml_event_t& event, const yaml_char_t* anchor,
                       const yaml_char_t* tag) {
    if (anchor != nullptr) {
      return Fail(event.start_mark, "has an anchor, which is not allowed here");
    }
    return tag == nullptr || Fail(event.start_mark, "has a tag, which is not allowed here");
  }

  bool Children(yaml_event_type_t end, int depth, YamlNode& node) {
    const bool is_mapping = end == YAML_MAPPING_END_EVENT;
    while (true) {
      const yaml_event_t* const event = Next();
      if (event == nullptr) return false;
      if (event->type == end) return true;
      const bool is_key = is_mapping && node.children.size() % 2 == 0;
      if (is_key && event->type != YAML_SCALAR_EVENT && event->type != YAML_ALIAS_EVENT) {
        return Fail(event->start_mark, "key must be a name");
      }
      if (!Value(*event, depth + 1, node.children.emplace_back())) return false;
    }
  }

  bool CheckKeys(const YamlNode& mapping) {
    std::vector<const YamlNode*> keys;
    keys.reserve(mapping.children.size() / 2);
    for (std::size_t i = 0; i < mapping.children.size(); i += 2) {
      keys.push_back(&mapping.children[i]);
    }
    // By address, the later of two that are alike comes after the other.
    std::sort(keys.begin(), keys.end(), [](const YamlNode* a, const YamlNode* b) {
      const int order = a->text.compare(b->text);
      return order != 0 ? order < 0 : a < b;
    });
    const auto same = [](const YamlNode* a, const YamlNode* b) { return a->text == b->text; };
    const auto found = std::adjacent_find(keys.begin(), keys.end(), same);
    if (found == keys.end()) return true;
    const YamlNode& later = **std::next(found);
    return FailAt(later.line, later.column,
                  absl::StrCat(EscapeName(later.text), ": stands here twice, before on line ",
                               (*found)->line));
  }

  bool Fail(const yaml_mark_t& mark, absl::string_view rule) {
    return FailAt(static_cast<int>(mark.line) + 1, static_cast<int>(mark.column) + 1, rule);
  }
  bool FailAt(int line, int column, absl::string_view rule) {
    error_ = absl::StrCat(file_, ":", line, ":", column, ": ", rule);
    return false;
  }

  YamlEvents events_;
  const absl::string_view file_;
  std::size_t nodes_ = 0;
  std::string error_;
};

}  // namespace

bool YamlNode::IsNull() const {
  return kind == Kind::kScalar && plain &&
         (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL");
}

absl::StatusOr<YamlNode> ParseYaml(absl::string_view text, absl::string_view file) {
  if (text.size() > kMaxYamlBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ":1:1: is longer than ", kMaxYamlBytes >> 20, "MiB"));
  }
  return YamlBuilder(text, file).Document();
}

}  // namespace leasegateway
