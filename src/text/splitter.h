// The pre-tokenizer: cuts text into the pieces inside which byte pairs may merge.
//
// There is no regular-expression engine here. The patterns that the known model families use are recognised by their
// exact text, and each has a hand-written matcher that reads every character a bounded number of times; beside those,
// patterns of the simple form "optional white space, then a run of one class" are read as such. Anything else is
// refused by name: a wrong cut gives wrong token ids in silence.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/tokenizer_files.h"

namespace naru::text {

// A set of code points: all with one of the flags (text/unicode.h), and those of the ranges.
struct CharClass {
  uint16_t flags = 0;
  std::vector<std::pair<uint32_t, uint32_t>> ranges;  // inclusive

  bool contains(uint32_t c) const;
  bool operator==(const CharClass&) const = default;
};

// One step cuts every piece that the step before left. Matches and what lies between them are pieces alike.
struct SplitStep {
  enum Kind {
    kGpt2,           // GPT-2: contractions, letters, digits, others, white space
    kLlama3,         // Llama 3: contractions in any case, up to 3 digits, line ends apart
    kQwen2,          // Qwen 2: as Llama 3 with single digits
    kDeepseekV3,     // DeepSeek V3's third step: words with marks, punctuation and symbols, line ends
    kRun,            // \s?[class]{1,max}
    kTrailingSpace,  // \s+$
  };
  Kind kind = kRun;
  CharClass run_class;
  bool optional_space = false;
  uint32_t run_max = UINT32_MAX;

  bool operator==(const SplitStep&) const = default;
};

class Splitter {
 public:
  // From the steps of a tokenizer.json, or from a GGUF file's pre-tokenizer name. Code::kUnsupported for what is
  // unknown.
  static Result<Splitter> create(const formats::TokenizerData& data);

  // Sets `ends` to the ends of the pieces of valid UTF-8, ascending; the last is text.size(). `spare` is
  // room to work in.
  void split(std::string_view text, std::vector<size_t>& ends, std::vector<size_t>& spare) const;

  const std::vector<SplitStep>& steps() const { return steps_; }

 private:
  std::vector<SplitStep> steps_;
};

// The families whose pre-tokenizer is known by name (the names of GGUF files; the one for new vocabularies first), and
// the steps that their tokenizer.json has, down to the byte-to-unicode mapping; nothing for an unknown name.
std::vector<std::string_view> pre_tokenizer_names();
std::optional<std::vector<formats::PreTokenizerStep>> pre_tokenizer_steps(std::string_view name);

// True where a GGUF pre-tokenizer name stands for a family whose normaliser is NFC / whose vocabulary wins over merges.
bool gguf_pre_uses_nfc(std::string_view name);
bool gguf_pre_ignores_merges(std::string_view name);
// Whether BOS stands before a text where the file does not say so: llama.cpp's default for the name.
bool gguf_pre_adds_bos(std::string_view name);

// The name whose steps, normaliser and rule of merges are those of `data`; "" where no name is.
std::string gguf_pre_of(const formats::TokenizerData& data);
// Puts steps, normaliser and rule of merges in the place of the name.
void spell_out_gguf_pre(formats::TokenizerData& data);

}  // namespace naru::text
