// See train_tokenizer.h.
#include "cli/train_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.h"
#include "base/folder.h"
#include "base/memory.h"
#include "base/shown_text.h"
#include "base/stopwatch.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "data/texts.h"
#include "formats/tokenizer_writer.h"
#include "formats/utf8.h"
#include "text/bpe_trainer.h"
#include "text/chatml.h"
#include "text/cut_text.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr size_t kReadBytes = size_t{4} << 20;    // of a plain text between two looks at the clock
constexpr int64_t kLookBytes = int64_t{1} << 18;  // the same for texts of the caller, which are short

Status check_interrupt() {
  if (is_interrupted()) return Error{Code::kCancelled, "training a tokenizer: stopped by you; nothing was written"};
  return {};
}

// --- reading --------------------------------------------------------------------------------------------------------

// Texts of all inputs into the trainer, with progress over their bytes.
class InputReader {
 public:
  InputReader(std::vector<MappedFile> files, text::BpeTrainer* trainer)
      : files_(std::move(files)), trainer_(trainer), progress_("reading", Progress::Unit::kBytes) {
    for (const MappedFile& file : files_) n_bytes_ += file.size();
  }

  Status read() {
    for (const MappedFile& file : files_) {
      const bool is_json = file.path().extension() == ".jsonl" || file.path().extension() == ".json";
      NARU_TRY(is_json ? read_json(file) : read_plain(file));
      NARU_TRY(file.check_unchanged());
    }
    return {};
  }
  int64_t n_bytes() const { return n_bytes_; }

 private:
  // Of a byte order mark, which is no text.
  static size_t mark_bytes(const MappedFile& file) {
    const std::string_view text = as_text(file.bytes());
    const size_t n = text.size() - formats::without_byte_order_mark(text).size();
    if (n > 0) print_note(fmt::format("{}: its byte order mark left out", file.path().string()));
    return n;
  }

  Status moved_on(const MappedFile& file, size_t begin, size_t end) {
    file.drop_pages(static_cast<int64_t>(begin), static_cast<int64_t>(end - begin));
    n_done_ += static_cast<int64_t>(end - begin);
    progress_.update(n_done_, n_bytes_);
    return check_interrupt();
  }

  Status read_plain(const MappedFile& file) {
    const std::string_view text = as_text(file.bytes());
    for (size_t begin = mark_bytes(file); begin < text.size();) {
      const size_t n = text::place_to_cut(text.substr(begin), kReadBytes);
      NARU_TRY(trainer_->add_text(text.substr(begin, n)));
      NARU_TRY(moved_on(file, begin, begin + n));
      begin += n;
    }
    return {};
  }

  Status read_json(const MappedFile& file) {
    int64_t n_seen = 0;
    const int64_t done_before = n_done_;
    const auto add = [&](std::string_view text) -> Status {
      NARU_TRY(trainer_->add_text(text));
      n_seen += static_cast<int64_t>(text.size());
      if (n_seen < kLookBytes) return {};
      n_done_ += n_seen;
      n_seen = 0;
      progress_.update(std::min(n_done_, done_before + file.size()), n_bytes_);
      return check_interrupt();
    };
    NARU_TRY(data::visit_file_texts(file.path(), add, [](std::string_view note) { print_note(note); }));
    n_done_ = done_before + file.size();
    return {};
  }

  std::vector<MappedFile> files_;
  text::BpeTrainer* trainer_;
  Progress progress_;
  int64_t n_bytes_ = 0;
  int64_t n_done_ = 0;
};

Result<std::vector<MappedFile>> open_inputs(const TrainTokenizerOptions& options) {
  if (options.inputs.empty()) {
    return Error{Code::kInvalidArgument,
                 "training a tokenizer: no input was given, text files or .jsonl files were wanted; name some"};
  }
  std::vector<MappedFile> files;
  for (const std::string& path : options.inputs) {
    NARU_ASSIGN(MappedFile file, MappedFile::open(path));
    files.push_back(std::move(file));
  }
  return files;
}

// Texts of the caller into the trainer; how many there will be is not known.
Status read_texts(const TrainTokenizerOptions& options, text::BpeTrainer& trainer) {
  Progress progress("reading", Progress::Unit::kBytes);
  int64_t n_done = 0, n_seen = 0;
  return options.texts([&](std::string_view text) -> Status {
    NARU_TRY(trainer.add_text(text));
    n_done += static_cast<int64_t>(text.size());
    if (n_done - n_seen < kLookBytes) return {};
    n_seen = n_done;
    progress.update(n_done, 0);
    return check_interrupt();
  });
}

Result<int64_t> read_files(std::vector<MappedFile> files, text::BpeTrainer& trainer) {
  InputReader reader(std::move(files), &trainer);
  NARU_TRY(reader.read());
  return reader.n_bytes();
}

// --- the summary ----------------------------------------------------------------------------------------------------

struct Summary {
  std::string folder;
  int64_t n_file_bytes = 0, n_bytes = 0, n_words = 0, n_distinct = 0;
  int64_t vocab_size = 0, vocab_wanted = 0, n_merges = 0, n_tokens = 0;
  int64_t pair_count_min = 0, peak_bytes = 0;
  bool has_repaired = false;
  double read_s = 0, learn_s = 0;

  double bytes_per_token() const {
    return n_tokens > 0 ? static_cast<double>(n_bytes) / static_cast<double>(n_tokens) : 0;
  }
};

Status print_summary(const Summary& s, bool as_json) {
  if (as_json) {
    Json json = {{"folder", s.folder},
                 {"text_bytes", s.n_bytes},
                 {"words", s.n_words},
                 {"distinct_words", s.n_distinct},
                 {"vocab_size", s.vocab_size},
                 {"vocab_size_wanted", s.vocab_wanted},
                 {"merges", s.n_merges},
                 {"tokens", s.n_tokens},
                 {"bytes_per_token", s.bytes_per_token()},
                 {"invalid_utf8_replaced", s.has_repaired},
                 {"peak_table_bytes", s.peak_bytes},
                 {"read_s", s.read_s},
                 {"learn_s", s.learn_s}};
    if (s.n_file_bytes > 0) json["file_bytes"] = s.n_file_bytes;
    return write_out(json_text(json));
  }
  std::string text = fmt::format("{}: a vocabulary of {} with {} merges\n", one_line(s.folder), grouped(s.vocab_size),
                                 grouped(s.n_merges));
  text += fmt::format("read      {} of text, {} words, {} of them different ({})\n", format_bytes(s.n_bytes),
                      grouped(s.n_words), grouped(s.n_distinct), format_seconds(s.read_s));
  text += fmt::format("learnt    {} tokens in these texts, {:.2f} bytes a token ({}, tables of {})\n",
                      grouped(s.n_tokens), s.bytes_per_token(), format_seconds(s.learn_s), format_bytes(s.peak_bytes));
  NARU_TRY(write_out(text));
  if (s.vocab_size < s.vocab_wanted) {
    print_note(fmt::format("{} ids were asked for; the texts hold no more pairs that come {} times or more",
                           s.vocab_wanted, s.pair_count_min));
  }
  if (s.has_repaired) print_note("some text was no valid UTF-8; U+FFFD stands for the bytes that were not");
  return {};
}

// Of a folder that this command made before.
bool is_tokenizer_file(const std::filesystem::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  std::error_code code;
  if (entry.is_directory(code)) return false;
  return name == "tokenizer.json" || name == "tokenizer_config.json" || name == "special_tokens_map.json";
}

Result<text::BpeTrainer> make_trainer(const TrainTokenizerOptions& options) {
  text::BpeTrainerOptions trainer;
  trainer.vocab_size = options.vocab_size;
  if (!options.pre_tokenizer.empty()) trainer.pre_tokenizer = options.pre_tokenizer;
  trainer.added_tokens = text::chatml_tokens();
  for (const std::string& token : options.special_tokens) trainer.added_tokens.push_back({token, true});
  trainer.pair_count_min = options.pair_count_min;
  trainer.memory_bytes_max = options.memory_bytes_max > 0 ? options.memory_bytes_max : available_memory_bytes() / 4 * 3;
  return text::BpeTrainer::create(std::move(trainer));
}

}  // namespace

Status train_tokenizer_command(const TrainTokenizerOptions& options) {
  if (options.output.empty()) {
    return Error{Code::kInvalidArgument,
                 "training a tokenizer: no output was given, the name of a new folder was wanted; choose one"};
  }
  NARU_TRY(check_folder_place(options.output, options.existing, is_tokenizer_file));
  NARU_ASSIGN(text::BpeTrainer trainer, make_trainer(options));
  std::vector<MappedFile> files;
  if (!options.texts) {
    NARU_ASSIGN(files, open_inputs(options));
  }
  NARU_ASSIGN(AtomicFolder folder, AtomicFolder::create(options.output, options.existing));
  Summary summary;
  const Clock::time_point begin = Clock::now();
  if (options.texts) {
    NARU_TRY(read_texts(options, trainer));
  } else {
    NARU_ASSIGN(summary.n_file_bytes, read_files(std::move(files), trainer));
  }
  if (trainer.n_bytes() == 0) {
    return Error{Code::kInvalidArgument,
                 fmt::format("training a tokenizer: {}{} no text, some text was wanted; give "
                             "files with text",
                             options.inputs.front(), options.inputs.size() > 1 ? " and the others hold" : " holds")};
  }
  summary.read_s = seconds_since(begin);
  const Clock::time_point learn_begin = Clock::now();
  std::optional<Progress> progress(std::in_place, "learning", Progress::Unit::kTokens);
  NARU_ASSIGN(formats::TokenizerData data, trainer.train([&progress](int64_t done, int64_t total) -> Status {
    progress->update(done, total);
    return check_interrupt();
  }));
  progress.reset();
  text::set_chatml(data);
  summary.learn_s = seconds_since(learn_begin);
  NARU_ASSIGN(summary.n_tokens, trainer.count_tokens(data));
  NARU_TRY(formats::write_tokenizer_folder(data, folder.path(), {.special_tokens_map = options.special_tokens_map}));
  NARU_TRY(check_interrupt());
  NARU_TRY(folder.commit());
  summary.folder = options.output;
  summary.n_bytes = trainer.n_bytes();
  summary.n_words = trainer.words().n_words();
  summary.n_distinct = trainer.words().size();
  summary.vocab_size = data.n_ids();
  summary.vocab_wanted = options.vocab_size;
  summary.n_merges = static_cast<int64_t>(data.merges.size());
  summary.pair_count_min = options.pair_count_min;
  summary.has_repaired = trainer.has_repaired();
  summary.peak_bytes = trainer.peak_bytes();
  return print_summary(summary, options.json);
}

}  // namespace naru::cli
