#include "service/leasectl/completion.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace leasegateway {
namespace {

// Something that can be typed.
struct Word {
  std::string text;
  std::string description;
};

struct Flag {
  std::vector<std::string> names;  // with dashes
  std::string description;
  bool takes_value = false;
  bool is_file = false;
  std::vector<std::string> choices;  // of the value
};

// A command: "" is the program itself, "/forwarding/get" a nested one.
struct Node {
  std::string path;
  std::vector<Word> words;  // subcommands and choices of positionals
  std::vector<Flag> flags;
};

// The type of an option with CLI::IsMember reads "TEXT:{a,b}".
std::vector<std::string> Choices(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t open = type.find('{');
  const std::size_t close = type.find('}');
  if (open == std::string::npos || close == std::string::npos || close < open) return {};
  return absl::StrSplit(type.substr(open + 1, close - open - 1), ',');
}

void Collect(const CLI::App& app, const std::string& path, std::vector<Node>& nodes) {
  Node node;
  node.path = path;
  const auto subcommands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* subcommand : subcommands) {
    node.words.push_back({subcommand->get_name(), subcommand->get_description()});
  }
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      for (const std::string& choice : Choices(*option)) node.words.push_back({choice, ""});
      continue;
    }
    Flag flag;
    for (const std::string& name : option->get_snames()) flag.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) flag.names.push_back("--" + name);
    flag.description = option->get_description();
    flag.takes_value = option->get_items_expected_max() > 0;
    flag.is_file = option->get_type_name() == "FILE";
    flag.choices = Choices(*option);
    node.flags.push_back(flag);
  }
  nodes.push_back(node);
  for (const CLI::App* subcommand : subcommands) {
    Collect(*subcommand, absl::StrCat(path, "/", subcommand->get_name()), nodes);
  }
}

// In single quotes, as bash and zsh read them.
std::string Quote(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string QuoteFish(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

// Options whose value is not a command.
std::vector<std::string> NamesWithValue(const std::vector<Node>& nodes) {
  std::vector<std::string> names;
  for (const Node& node : nodes) {
    for (const Flag& flag : node.flags) {
      if (!flag.takes_value) continue;
      for (const std::string& name : flag.names) {
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
      }
    }
  }
  return names;
}

std::string CommandPaths(const std::vector<Node>& nodes, const std::string& separator) {
  std::vector<std::string> paths;
  for (const Node& node : nodes) {
    if (!node.path.empty()) paths.push_back(node.path);
  }
  return absl::StrJoin(paths, separator);
}

// The program's own options are accepted after a command as well, save those that it has too.
std::vector<Flag> FlagsAt(const Node& node, const Node& root) {
  std::vector<Flag> flags = node.flags;
  if (node.path.empty()) return flags;
  for (const Flag& flag : root.flags) {
    bool known = false;
    for (const Flag& own : node.flags) known = known || own.names == flag.names;
    if (!known) flags.push_back(flag);
  }
  return flags;
}

std::string Bash(const std::vector<Node>& nodes) {
  std::string script =
      "# bash completion for leasectl: source <(leasectl completion bash)\n"
      "_leasectl() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local node='' skip='' word words='' i\n"
      "  # bash makes three words of --name=value.\n"
      "  if [[ $cur == '=' ]]; then cur=''\n"
      "  elif [[ $prev == '=' ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    word=${COMP_WORDS[i]}\n"
      "    if [[ $skip ]]; then [[ $word == '=' ]] || skip=''; continue; fi\n"
      "    case $word in\n";
  absl::StrAppend(&script, "      ", absl::StrJoin(NamesWithValue(nodes), "|"),
                  ") skip=1; continue ;;\n"
                  "    esac\n"
                  "    case $node/$word in\n      ",
                  CommandPaths(nodes, "|"),
                  ") node=$node/$word ;;\n"
                  "    esac\n"
                  "  done\n"
                  "  case $node:$prev in\n");
  for (const Node& node : nodes) {
    for (const Flag& flag : node.flags) {
      if (!flag.takes_value) continue;
      const std::string where = node.path.empty() ? "*" : node.path;
      for (const std::string& name : flag.names) {
        absl::StrAppend(&script, "    ", where, ":", name, ") ");
        if (flag.is_file) {
          script += "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")";
        } else if (!flag.choices.empty()) {
          absl::StrAppend(&script, "mapfile -t COMPREPLY < <(compgen -W ",
                          Quote(absl::StrJoin(flag.choices, " ")), " -- \"$cur\")");
        } else {
          script += "COMPREPLY=()";
        }
        script += "; return ;;\n";
      }
    }
  }
  script += "  esac\n  case $node in\n";
  for (const Node& node : nodes) {
    std::vector<std::string> words;
    for (const Word& word : node.words) words.push_back(word.text);
    for (const Flag& flag : FlagsAt(node, nodes.front())) {
      words.insert(words.end(), flag.names.begin(), flag.names.end());
    }
    absl::StrAppend(&script, "    ", Quote(node.path), ") words=", Quote(absl::StrJoin(words, " ")),
                    " ;;\n");
  }
  script +=
      "  esac\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
      "}\n"
      "complete -F _leasectl leasectl\n";
  return script;
}

// What may stand after a flag that takes a value.
std::string ZshValues(const std::vector<Node>& nodes) {
  std::string script;
  for (const Node& node : nodes) {
    for (const Flag& flag : node.flags) {
      if (!flag.takes_value) continue;
      const std::string where = node.path.empty() ? "*" : node.path;
      for (const std::string& name : flag.names) {
        absl::StrAppend(&script, "    (", where, ":", name, ") ");
        if (flag.is_file) {
          script += "_files";
        } else if (!flag.choices.empty()) {
          absl::StrAppend(&script, "compadd -- ", absl::StrJoin(flag.choices, " "));
        } else {
          absl::StrAppend(&script, "_message -- ", Quote(flag.description));
        }
        script += "; return ;;\n";
      }
    }
  }
  return script;
}

std::string Zsh(const std::vector<Node>& nodes) {
  const auto item = [](const std::string& name, const std::string& description) {
    return Quote(absl::StrCat(name, description.empty() ? "" : ":", description));
  };
  std::string script =
      "#compdef leasectl\n"
      "# zsh completion for leasectl: leasectl completion zsh > \"${fpath[1]}/_leasectl\"\n"
      "_leasectl() {\n"
      "  local node='' skip='' word i prev=${words[CURRENT-1]}\n"
      "  local -a candidates flags\n"
      "  for ((i = 2; i < CURRENT; i++)); do\n"
      "    word=${words[i]}\n"
      "    if [[ -n $skip ]]; then skip=''; continue; fi\n"
      "    case $word in\n";
  absl::StrAppend(&script, "      (", absl::StrJoin(NamesWithValue(nodes), "|"),
                  ") skip=1; continue ;;\n"
                  "    esac\n"
                  "    case $node/$word in\n      (",
                  CommandPaths(nodes, "|"),
                  ") node=$node/$word ;;\n"
                  "    esac\n"
                  "  done\n"
                  "  if [[ $PREFIX == --*=* ]]; then prev=${PREFIX%%=*}; compset -P '*='; fi\n"
                  "  case $node:$prev in\n");
  script += ZshValues(nodes);
  script += "  esac\n  case $node in\n";
  for (const Node& node : nodes) {
    std::vector<std::string> words;
    std::vector<std::string> flags;
    for (const Word& word : node.words) words.push_back(item(word.text, word.description));
    for (const Flag& flag : FlagsAt(node, nodes.front())) {
      for (const std::string& name : flag.names) flags.push_back(item(name, flag.description));
    }
    absl::StrAppend(&script, "    (", Quote(node.path), ")\n      candidates=(",
                    absl::StrJoin(words, " "), ")\n      flags=(", absl::StrJoin(flags, " "),
                    ") ;;\n");
  }
  script +=
      "  esac\n"
      "  (( $#candidates )) && _describe -t commands command candidates\n"
      "  [[ $PREFIX == -* || $#candidates -eq 0 ]] && _describe -o -t options option flags\n"
      "}\n"
      "if [[ ${funcstack[1]} == _leasectl ]]; then _leasectl \"$@\"; "
      "else compdef _leasectl leasectl; fi\n";
  return script;
}

std::string Fish(const std::vector<Node>& nodes) {
  std::string script =
      "# fish completion for leasectl: leasectl completion fish | source\n"
      "function __leasectl_at\n"
      "  set -l node ''\n"
      "  set -l skip 0\n"
      "  set -l typed (commandline -opc)\n"
      "  for word in $typed[2..-1]\n"
      "    if test $skip = 1\n"
      "      set skip 0\n"
      "      continue\n"
      "    end\n"
      "    switch $word\n";
  absl::StrAppend(&script, "      case ", absl::StrJoin(NamesWithValue(nodes), " "),
                  "\n        set skip 1\n"
                  "      case '*'\n"
                  "        switch \"$node/$word\"\n"
                  "          case ",
                  CommandPaths(nodes, " "),
                  "\n            set node \"$node/$word\"\n"
                  "        end\n"
                  "    end\n"
                  "  end\n"
                  "  test \"$node\" = \"$argv[1]\"\n"
                  "end\n"
                  "complete -c leasectl -f\n");
  for (const Node& node : nodes) {
    const std::string at = absl::StrCat("complete -c leasectl -n ",
                                        QuoteFish(absl::StrCat("__leasectl_at '", node.path, "'")));
    for (const Word& word : node.words) {
      absl::StrAppend(&script, at, " -a ", QuoteFish(word.text), " -d ",
                      QuoteFish(word.description), "\n");
    }
    for (const Flag& flag : node.flags) {
      // --help is each command's own, so the program's would be there twice.
      script += node.path.empty() && flag.names.back() != "--help" ? "complete -c leasectl" : at;
      for (const std::string& name : flag.names) {
        absl::StrAppend(&script,
                        name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1));
      }
      if (flag.takes_value) script += flag.is_file ? " -r -F" : " -x";
      if (!flag.choices.empty()) {
        absl::StrAppend(&script, " -a ", QuoteFish(absl::StrJoin(flag.choices, " ")));
      }
      absl::StrAppend(&script, " -d ", QuoteFish(flag.description), "\n");
    }
  }
  return script;
}

}  // namespace

std::string CompletionScript(const CLI::App& app, const std::string& shell) {
  std::vector<Node> nodes;
  Collect(app, "", nodes);
  if (shell == "zsh") return Zsh(nodes);
  if (shell == "fish") return Fish(nodes);
  return Bash(nodes);
}

}  // namespace leasegateway
