// A file of training data, as the trainer reads it: lines of JSON in any form, an array of such objects, or plain text,
// for either kind of training, cut and packed. The first two bytes are options. Whatever the file says, documents keep
// their bounds, what is said in it becomes no control token, and every token is accounted for.
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/check.h"
#include "data/batches.h"
#include "formats/utf8.h"
#include "recipes/recipe.h"
#include "text/bpe_trainer.h"
#include "text/chat_template.h"
#include "text/chatml.h"
#include "text/tokenizer.h"

namespace {

using namespace naru;
using namespace naru::data;
namespace fs = std::filesystem;

// Writes tools and calls as JSON, which ChatML's own does not.
constexpr const char* kToolTemplate =
    "{% if tools %}{{ '<|im_start|>tools ' + (tools | tojson) + '<|im_end|>' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + ' ' + (m.content or '') }}"
    "{% for c in m.tool_calls or [] %}{{ '(' + c.function.name + ' ' }}{{ c.function.arguments | tojson }}{{ ')' }}"
    "{% endfor %}{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant ' }}{% endif %}";

// A small vocabulary with ChatML's tokens, two templates, and a folder for the file.
struct Rig {
  std::optional<text::Tokenizer> tokenizer;
  std::optional<text::ChatTemplate> chat_template, tool_template;
  fs::path folder;

  Rig() {
    text::BpeTrainerOptions options;
    options.vocab_size = 300;
    options.added_tokens = text::chatml_tokens();
    auto trainer = text::BpeTrainer::create(options).value();
    NARU_CHECK(trainer.add_text("user assistant system tool the ferry, the river, the ferry 강 강 강").ok());
    formats::TokenizerData data = trainer.train().value();
    text::set_chatml(data);
    chat_template = text::ChatTemplate::create(data).value();
    tool_template = text::ChatTemplate::create(kToolTemplate, {}).value();
    tokenizer = text::Tokenizer::create(std::move(data)).value();
    std::string pattern = (fs::temp_directory_path() / "naru-fuzz-XXXXXX").string();
    NARU_CHECK(::mkdtemp(pattern.data()) != nullptr);
    folder = pattern;
  }
  ~Rig() {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
};

void check_document(const Document& document, const recipes::Recipe& recipe, const text::Tokenizer& tokenizer,
                    bool is_text) {
  const auto n = std::ssize(document.ids);
  NARU_CHECK(n >= 2 && n <= recipe.batch.context && std::ssize(document.loss) == n, n);
  NARU_CHECK(document.loss[0] == 0);
  NARU_CHECK(std::find(document.loss.begin(), document.loss.end(), 1) != document.loss.end());
  for (int64_t i = 0; i < n; ++i) {
    const int32_t id = document.ids[static_cast<size_t>(i)];
    NARU_CHECK(id >= 0 && id < tokenizer.n_ids(), id);
    NARU_CHECK(!is_text || !tokenizer.is_control(id) || (i + 1 == n && id == *tokenizer.eos_id()), id, i);
  }
}

void check_stream(const BatchStream& stream, const recipes::Recipe& recipe, const text::Tokenizer& tokenizer,
                  bool is_text) {
  int64_t n_tokens = 0;
  for (int64_t i = 0; i < stream.n_documents(); ++i) {
    check_document(stream.document(i), recipe, tokenizer, is_text);
    n_tokens += std::ssize(stream.document(i).ids);
  }
  const SourceStatistics& statistics = stream.statistics()[0];
  NARU_CHECK(n_tokens == stream.n_tokens() && n_tokens == statistics.n_tokens);
  NARU_CHECK(n_tokens <= statistics.n_rows * recipe.batch.context);
  for (const DataNote& note : stream.notes()) NARU_CHECK(!note.place.empty() && !note.reason.empty());
  const StepBatch all = stream.all_rows(INT64_MAX).value();
  NARU_CHECK(all.n_tokens == n_tokens && all.divisor == static_cast<double>(statistics.n_targets));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const Rig rig;
  if (size < 2) return 0;
  recipes::Recipe recipe;
  recipe.kind = bytes[0] & 1 ? recipes::RunKind::kSft : recipes::RunKind::kPretrain;
  recipe.batch.overlong = bytes[0] & 2 ? "drop" : "cut";
  const bool is_text = (bytes[0] & 4) != 0;
  recipe.batch.context = 2 + 16 * bytes[1];
  recipe.batch.rows = recipe.batch.micro_rows = 2;
  recipe.data.emplace_back();
  recipe.data[0].path = is_text ? "fuzz.txt" : bytes[0] & 8 ? "fuzz.json" : "fuzz.jsonl";
  std::ofstream(rig.folder / recipe.data[0].path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes + 2), static_cast<std::streamsize>(size - 2));
  const text::ChatTemplate& chat = bytes[0] & 16 ? *rig.tool_template : *rig.chat_template;
  const auto stream = BatchStream::open(recipe, recipe.data, *rig.tokenizer, &chat, rig.folder);
  if (stream.ok()) {
    check_stream(*stream, recipe, *rig.tokenizer, !stream->has_conversations());
  } else {
    const std::string& message = stream.error().message;
    NARU_CHECK(formats::is_valid_utf8(message), message);
    // A list of bad lines has its own line breaks alone.
    for (size_t at = message.find('\n'); at != std::string::npos; at = message.find('\n', at + 1)) {
      NARU_CHECK(message.substr(at, 3) == "\n  ", message);
    }
  }
  return 0;
}
