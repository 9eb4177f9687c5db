// AutomatonSink: an automaton that is made as a grammar is, node by node: what is written for either is a template of a
// sink. Nodes are its states; the first is where it starts.
#pragma once

#include <string_view>

#include "text/forms/grammar.h"
#include "text/forms/regex.h"

namespace naru::text {

class AutomatonSink {
 public:
  // It must outlive it.
  explicit AutomatonSink(RegexAutomaton& automaton) : automaton_(automaton) {}
  NodeId add_node() {
    automaton_.states.emplace_back();
    return static_cast<NodeId>(automaton_.states.size() - 1);
  }
  void add_range(NodeId from, FormSymbol low, FormSymbol high, NodeId to) {
    automaton_.states[from].edges.emplace_back(CharacterRange{low, high}, to);
  }
  void add_byte(NodeId from, char byte, NodeId to) {
    const auto character = static_cast<unsigned char>(byte);
    add_range(from, character, character, to);
  }
  void add_jump(NodeId from, NodeId to) { automaton_.states[from].jumps.push_back(to); }
  void add_text(NodeId from, std::string_view text, NodeId to) {
    for (size_t i = 0; i < text.size(); ++i) {
      const NodeId next = i + 1 < text.size() ? add_node() : to;
      add_byte(from, text[i], next);
      from = next;
    }
  }

 private:
  RegexAutomaton& automaton_;
};

}  // namespace naru::text
