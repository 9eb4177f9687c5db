// Which pre-tokenizers are known: by the exact text of their pattern, by the simple form of a run, or by GGUF name.
#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "formats/utf8.h"
#include "text/splitter.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

using formats::PreTokenizerKind;
using formats::PreTokenizerStep;
using formats::SplitBehavior;

// Whole patterns, with carriage return and line feed written as escapes (files write them either way).
struct KnownPattern {
  std::string_view pattern;
  SplitStep::Kind kind;
  bool is_total;  // every character is inside some match, so removing what is not matched changes nothing
};
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepseekV3Pattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::array kKnownPatterns = {
    KnownPattern{kGpt2Pattern, SplitStep::kGpt2, true},
    KnownPattern{kLlama3Pattern, SplitStep::kLlama3, true},
    KnownPattern{kQwen2Pattern, SplitStep::kQwen2, true},
    KnownPattern{kDeepseekV3Pattern, SplitStep::kDeepseekV3, false},
    KnownPattern{R"(\s+$)", SplitStep::kTrailingSpace, false},
};

std::string escape_line_ends(std::string_view pattern) {
  std::string out;
  for (const char c : pattern) {
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// Takes one character of a class from the front of `rest`, unescaped; nothing for what needs a real parser.
std::optional<uint32_t> take_class_char(std::string_view& rest) {
  if (rest.empty()) return std::nullopt;
  const CodePoint c = code_point_at(rest.data());
  rest.remove_prefix(c.bytes);
  if (c.value == '[' || c.value == '&') return std::nullopt;  // nested classes, POSIX names, intersections
  if (c.value != '\\') return c.value;
  if (rest.empty()) return std::nullopt;
  const char escaped = rest.front();
  rest.remove_prefix(1);
  if (escaped == 'r') return '\r';
  if (escaped == 'n') return '\n';
  if (escaped == 't') return '\t';
  if (std::string_view("\\[]^-.+*?(){}|/&\"'").find(escaped) != std::string_view::npos) return escaped;
  return std::nullopt;
}

std::optional<uint16_t> take_property(std::string_view& rest) {
  constexpr std::array<std::pair<std::string_view, uint16_t>, 8> kProperties = {{{"\\p{L}", kLetter},
                                                                                 {"\\p{M}", kMark},
                                                                                 {"\\p{N}", kNumber},
                                                                                 {"\\p{P}", kPunctuation},
                                                                                 {"\\p{S}", kSymbol},
                                                                                 {"\\p{Lu}", kUpper},
                                                                                 {"\\p{Ll}", kLower},
                                                                                 {"\\s", kSpace}}};
  for (const auto& [text, flag] : kProperties) {
    if (rest.starts_with(text)) {
      rest.remove_prefix(text.size());
      return flag;
    }
  }
  return std::nullopt;
}

// "[...]" without negation, from the front of `rest`.
bool take_class(std::string_view& rest, CharClass& out) {
  if (!rest.starts_with('[') || rest.starts_with("[^")) return false;
  rest.remove_prefix(1);
  bool is_empty = true;
  while (!rest.starts_with(']') || is_empty) {
    is_empty = false;
    if (const auto flag = take_property(rest)) {
      out.flags |= *flag;
      continue;
    }
    const auto low = take_class_char(rest);
    if (!low) return false;
    auto high = low;
    if (rest.starts_with('-') && !rest.starts_with("-]")) {
      rest.remove_prefix(1);
      high = take_class_char(rest);
      if (!high || *high < *low) return false;
    }
    out.ranges.emplace_back(*low, *high);
    if (rest.empty()) return false;
  }
  rest.remove_prefix(1);
  return true;
}

// "\s?" or nothing; a class or a property; "+", "{1,n}" or nothing.
std::optional<SplitStep> parse_run(std::string_view pattern) {
  SplitStep step;
  std::string_view rest = pattern;
  if (rest.starts_with("\\s?")) {
    step.optional_space = true;
    rest.remove_prefix(3);
  }
  if (const auto flag = take_property(rest)) {
    step.run_class.flags = *flag;
  } else if (!take_class(rest, step.run_class)) {
    return std::nullopt;
  }
  std::sort(step.run_class.ranges.begin(), step.run_class.ranges.end());
  if (rest.empty()) {
    step.run_max = 1;
    return step;
  }
  if (rest == "+") return step;
  if (rest.size() == 5 && rest.starts_with("{1,") && rest[3] >= '1' && rest[3] <= '9' && rest[4] == '}') {
    step.run_max = static_cast<uint32_t>(rest[3] - '0');
    return step;
  }
  return std::nullopt;
}

Error unsupported(std::string_view what) {
  return {Code::kUnsupported,
          fmt::format("preparing the tokenizer: pre_tokenizer: {}; wanted one of GPT-2, SmolLM2, Llama 3, Qwen2, "
                      "DeepSeek V2/V3 or a run of one class; use a model of one of these families",
                      what)};
}

// The first characters of a pattern, for messages.
std::string beginning(std::string_view pattern) {
  return fmt::format("'{}'", formats::printable(pattern));
}

Result<SplitStep> regex_step(const PreTokenizerStep& file_step) {
  const std::string pattern = escape_line_ends(file_step.pattern);
  const bool isolates = file_step.behavior == SplitBehavior::kIsolated && !file_step.invert;
  const bool keeps_matches = file_step.behavior == SplitBehavior::kRemoved && file_step.invert;
  for (const KnownPattern& known : kKnownPatterns) {
    if (pattern != known.pattern) continue;
    if (!isolates && !(keeps_matches && known.is_total)) break;
    SplitStep step;
    step.kind = known.kind;
    return step;
  }
  if (isolates) {
    if (auto step = parse_run(pattern)) return *step;
    return unsupported(fmt::format("unknown pattern {}", beginning(pattern)));
  }
  return unsupported(fmt::format("pattern {} with an unknown behavior or inverted", beginning(pattern)));
}

SplitStep known_step(SplitStep::Kind kind) {
  SplitStep step;
  step.kind = kind;
  return step;
}

SplitStep digit_step(bool individual) {
  SplitStep step;
  step.run_class.flags = kDigit;
  if (individual) step.run_max = 1;
  return step;
}

// '$' also stands before a line feed inside a piece; the matcher knows the end of the piece only, which is the same
// where an earlier step has set line feeds apart.
Status check_line_ends_apart(const std::vector<SplitStep>& steps) {
  bool apart = false;
  for (const SplitStep& step : steps) {
    if (step.kind == SplitStep::kTrailingSpace && !apart) return unsupported("'\\s+$' where line feeds are not apart");
    apart |= step.kind == SplitStep::kRun && !step.optional_space && step.run_class.contains('\n');
  }
  return {};
}

// The cased scripts that deepseek-llm takes for letters, and its punctuation (ASCII and full-width).
constexpr std::string_view kDeepseekLlmLetters =
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d"
    "\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4"
    "\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a"
    "\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+";
constexpr std::string_view kDeepseekLlmPunctuation =
    "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+";
constexpr std::string_view kDeepseekCjk = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";

// The known families by the names that GGUF files give them, with their steps as a tokenizer.json has them; kByteLevel
// is added behind the last. "digits" stands for the Digits step, "gpt-2" for the pattern inside ByteLevel.
constexpr std::string_view kDigitsStep = "digits", kGpt2Step = "gpt-2";
struct Family {
  std::string_view name;
  std::vector<std::string_view> steps;
};

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      {"deepseek-v3", {"\\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", kDeepseekV3Pattern}},
      {"llama-bpe", {kLlama3Pattern}},
      {"qwen2", {kQwen2Pattern}},
      {"smollm", {kDigitsStep, kGpt2Step}},
      {"gpt-2", {kGpt2Step}},
      {"deepseek-llm", {"[\\r\\n]", kDeepseekLlmLetters, kDeepseekLlmPunctuation, "\\s+$", kDeepseekCjk, kDigitsStep}},
      {"deepseek-coder", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", kDeepseekCjk, kDigitsStep}},
  };
  return kFamilies;
}

std::string_view canonical_name(std::string_view name) {
  if (name == "llama3" || name == "llama-v3") return "llama-bpe";
  if (name == "deepseek-r1-qwen") return "qwen2";
  return name;
}

}  // namespace

bool CharClass::contains(uint32_t c) const {
  if (flags != 0 && (char_flags(c) & flags)) return true;
  if (ranges.empty() || c < ranges.front().first) return false;  // most characters of most texts
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](uint32_t value, const auto& range) { return value < range.first; });
  return after != ranges.begin() && c <= std::prev(after)->second;
}

std::vector<std::string_view> pre_tokenizer_names() {
  std::vector<std::string_view> names;
  for (const Family& family : families()) names.push_back(family.name);
  return names;
}

std::optional<std::vector<PreTokenizerStep>> pre_tokenizer_steps(std::string_view name) {
  const auto& all = families();
  const auto family =
      std::find_if(all.begin(), all.end(), [&](const Family& f) { return f.name == canonical_name(name); });
  if (family == all.end()) return std::nullopt;
  std::vector<PreTokenizerStep> steps;
  PreTokenizerStep bytes;
  bytes.kind = PreTokenizerKind::kByteLevel;
  bytes.name = "ByteLevel";
  for (const std::string_view pattern : family->steps) {
    PreTokenizerStep step;
    if (pattern == kGpt2Step) {
      bytes.use_regex = true;
      continue;
    }
    step.kind = pattern == kDigitsStep ? PreTokenizerKind::kDigits : PreTokenizerKind::kSplitRegex;
    step.name = pattern == kDigitsStep ? "Digits" : "Split";
    if (pattern == kDigitsStep) {
      step.individual_digits = true;
    } else {
      step.pattern = pattern;
    }
    steps.push_back(std::move(step));
  }
  steps.push_back(std::move(bytes));
  return steps;
}

Result<Splitter> Splitter::create(const formats::TokenizerData& data) {
  Splitter splitter;
  std::optional<std::vector<PreTokenizerStep>> named;
  if (!data.gguf_pre.empty()) {
    named = pre_tokenizer_steps(data.gguf_pre);
    if (!named) return unsupported(fmt::format("tokenizer.ggml.pre names '{}'", data.gguf_pre));
  }
  bool maps_bytes = false;
  for (const PreTokenizerStep& step : named ? *named : data.pre_tokenizer) {
    if (maps_bytes) return unsupported(fmt::format("a step '{}' after ByteLevel", step.name));
    switch (step.kind) {
      case PreTokenizerKind::kSplitRegex: {
        NARU_ASSIGN(SplitStep regex, regex_step(step));
        splitter.steps_.push_back(std::move(regex));
        break;
      }
      case PreTokenizerKind::kDigits: splitter.steps_.push_back(digit_step(step.individual_digits)); break;
      case PreTokenizerKind::kByteLevel:
        if (step.add_prefix_space) return unsupported("ByteLevel with add_prefix_space");
        if (step.use_regex) splitter.steps_.push_back(known_step(SplitStep::kGpt2));
        maps_bytes = true;
        break;
      case PreTokenizerKind::kSplitLiteral:
        return unsupported(fmt::format("a split on the plain string {}", beginning(step.pattern)));
      case PreTokenizerKind::kOther: return unsupported(fmt::format("a step '{}'", step.name));
    }
  }
  NARU_TRY(check_line_ends_apart(splitter.steps_));
  if (!maps_bytes) return unsupported("no ByteLevel step, so this is no byte-level vocabulary");
  return splitter;
}

std::string gguf_pre_of(const formats::TokenizerData& data) {
  if (!data.gguf_pre.empty()) return data.gguf_pre;
  const auto wanted = Splitter::create(data);
  if (!wanted.ok()) return "";
  for (const std::string_view name : pre_tokenizer_names()) {
    formats::TokenizerData named;
    named.gguf_pre = name;
    const bool is_nfc = data.normalizer == formats::NormalizerKind::kNfc;
    if (Splitter::create(named)->steps() == wanted->steps() && gguf_pre_uses_nfc(name) == is_nfc &&
        gguf_pre_ignores_merges(name) == data.ignore_merges) {
      return std::string(name);
    }
  }
  return "";
}

void spell_out_gguf_pre(formats::TokenizerData& data) {
  if (data.gguf_pre.empty()) return;
  auto steps = pre_tokenizer_steps(data.gguf_pre);
  if (!steps) return;
  data.pre_tokenizer = std::move(*steps);
  if (gguf_pre_uses_nfc(data.gguf_pre)) data.normalizer = formats::NormalizerKind::kNfc;
  data.ignore_merges = data.ignore_merges || gguf_pre_ignores_merges(data.gguf_pre);
  if (!data.add_bos && gguf_pre_adds_bos(data.gguf_pre)) data.add_bos = true;
  data.gguf_pre.clear();
}

bool gguf_pre_uses_nfc(std::string_view name) {
  return canonical_name(name) == "qwen2";
}

bool gguf_pre_ignores_merges(std::string_view name) {
  return canonical_name(name) == "llama-bpe";
}

bool gguf_pre_adds_bos(std::string_view name) {
  return canonical_name(name) == "llama-bpe";
}

}  // namespace naru::text
