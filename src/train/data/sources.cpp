#include "train/data/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "formats/utf8.h"
#include "train/data/conversation.h"
#include "train/data/limits.h"
#include "train/data/line_reader.h"
#include "train/data/sample.h"

namespace naru::train {
namespace {
namespace fs = std::filesystem;

class SourceReader {
 public:
  SourceReader(const SourceRecipe& source, int32_t index, SourceContext& context, SourceStatistics& statistics)
      : source_(source), index_(index), context_(context), statistics_(statistics) {}

  Result<std::vector<Document>> read() {
    NARU_TRY(source_.generator.empty() ? read_path() : read_generator());
    if (documents_.empty()) {
      return Error{Code::kInvalidArgument,
                   fmt::format("reading {}: no document is left of it{}; give text that the context of {} tokens holds",
                               statistics_.name, statistics_.n_dropped > 0 ? ", all were dropped" : "",
                               context_.recipe.batch.context)};
    }
    return std::move(documents_);
  }

 private:
  bool is_sft() const { return context_.recipe.kind == "sft"; }
  int64_t context() const { return context_.recipe.batch.context; }

  void note(std::string_view place, std::string reason) {
    ++context_.n_notes;
    if (static_cast<int64_t>(context_.notes.size()) < kDataNotesMax) {
      context_.notes.push_back({std::string(place), std::move(reason)});
    }
  }
  void note_dropped(std::string_view place, std::string reason) {
    ++statistics_.n_dropped;
    note(place, std::move(reason));
  }

  Status read_path();
  Status read_file(const fs::path& path, const std::string& name);
  Status read_text_file(const fs::path& path, const std::string& name);
  Status read_lines(const fs::path& path, const std::string& name);
  Status read_generator();
  Status add_sample(const Sample& sample, std::string_view place);
  Status add_problem(const Problem& problem, std::string_view place);
  // A document that lacks its source and index, of any length: cut, dropped or kept, as the recipe says.
  Status add(Document document, std::string_view place);
  Status keep(Document document, std::string_view place);
  Status check_room(int64_t n_tokens, std::string_view place) const;  // for so many more of one document

  const SourceRecipe& source_;
  int32_t index_;
  SourceContext& context_;
  SourceStatistics& statistics_;
  std::vector<Document> documents_;
  int64_t item_ = 0;  // line or problem that the next documents are of
};

Status SourceReader::check_room(int64_t n_tokens, std::string_view place) const {
  if (context_.n_tokens + n_tokens <= kDataTokensMax && context_.n_documents < kDataDocumentsMax) return {};
  return Error{Code::kResourceExhausted,
               fmt::format("reading {}: the data has more than {} tokens or {} documents, the most that are kept in "
                           "memory; train on less at a time",
                           place, kDataTokensMax, kDataDocumentsMax)};
}

Status SourceReader::keep(Document document, std::string_view place) {
  const auto n_tokens = static_cast<int64_t>(document.ids.size());
  NARU_TRY(check_room(n_tokens, place));
  context_.n_tokens += n_tokens;
  ++context_.n_documents;
  document.source = index_;
  document.index = item_;
  ++statistics_.n_documents;
  statistics_.n_tokens += n_tokens;
  statistics_.n_targets += std::count(document.loss.begin(), document.loss.end(), uint8_t{1});
  document.ids.shrink_to_fit();
  document.loss.shrink_to_fit();
  documents_.push_back(std::move(document));
  return {};
}

Status SourceReader::add(Document document, std::string_view place) {
  const auto n_tokens = static_cast<int64_t>(document.ids.size());
  const auto has_target = [](const Document& d) { return std::find(d.loss.begin(), d.loss.end(), 1) != d.loss.end(); };
  if (!has_target(document)) {
    note_dropped(place,
                 fmt::format("dropped: {} token{}, none of them to be learnt", n_tokens, n_tokens == 1 ? "" : "s"));
    return {};
  }
  if (n_tokens <= context()) return keep(std::move(document), place);
  if (context_.recipe.batch.overlong == "drop") {
    note_dropped(place, fmt::format("dropped: {} tokens, the context holds {}", n_tokens, context()));
    return {};
  }
  if (is_sft()) {
    document.ids.resize(static_cast<size_t>(context()));
    document.loss.resize(static_cast<size_t>(context()));
    if (!has_target(document)) {
      note_dropped(place,
                   fmt::format("dropped: {} tokens, the context holds {}, and nothing of what is to be learnt is "
                               "left in those",
                               n_tokens, context()));
      return {};
    }
    ++statistics_.n_cut;
    note(place, fmt::format("cut at the end: {} tokens, the context holds {}", n_tokens, context()));
    return keep(std::move(document), place);
  }
  for (int64_t begin = 0; begin < n_tokens; begin += context()) {
    const int64_t end = std::min(n_tokens, begin + context());
    if (end - begin < 2) {
      note(place, "its last token left out: alone in the last piece, it has nothing to be learnt from");
      break;
    }
    Document piece;
    piece.ids.assign(document.ids.begin() + begin, document.ids.begin() + end);
    piece.loss.assign(document.loss.begin() + begin, document.loss.begin() + end);
    piece.loss[0] = 0;
    ++statistics_.n_pieces;
    NARU_TRY(keep(std::move(piece), place));
  }
  return {};
}

Status SourceReader::add_sample(const Sample& sample, std::string_view place) {
  if (!sample.is_chat) {
    if (is_sft()) {
      return Error{Code::kInvalidArgument,
                   fmt::format("reading {}: it has \"text\", and the recipe's kind is sft, which wants \"messages\" to "
                               "learn the assistant's turns of; set kind = \"pretrain\" to learn all of a text",
                               place)};
    }
    return add(text_document(sample.text, context_.tokenizer), place);
  }
  if (context_.chat_template == nullptr) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: it is a conversation, and the tokenizer has no chat template; name one that "
                             "has in model.tokenizer",
                             place)};
  }
  if (!is_sft()) {
    NARU_ASSIGN(Document document, whole_conversation(sample, *context_.chat_template, context_.tokenizer, place));
    return add(std::move(document), place);
  }
  NARU_ASSIGN(ConversationDocuments made,
              assistant_documents(sample, *context_.chat_template, context_.tokenizer, place));
  if (made.documents.empty()) ++statistics_.n_dropped;
  for (std::string& reason : made.notes) note(place, std::move(reason));
  for (Document& document : made.documents) NARU_TRY(add(std::move(document), place));
  return {};
}

Status SourceReader::read_lines(const fs::path& path, const std::string& name) {
  NARU_ASSIGN(LineReader reader, LineReader::open(path, name));
  int64_t n_samples = 0;
  while (true) {
    NARU_ASSIGN(const auto line, reader.next_line());
    if (!line) break;
    const std::string place = fmt::format("{}:{}", name, reader.line());
    if (line->find_first_not_of(" \t") == std::string_view::npos) {
      note(place, "left out: the line is empty");
      continue;
    }
    ++n_samples;
    item_ = reader.line();
    NARU_ASSIGN(const Sample sample, parse_sample(*line, place));
    NARU_TRY(add_sample(sample, place));
  }
  if (n_samples > 0) return {};
  return Error{
      Code::kInvalidArgument,
      fmt::format("reading {}: the file is empty, a line of JSON at least was wanted; write {{\"text\": \"...\"}} "
                  "or {{\"messages\": [...]}} on every line",
                  name)};
}

Status SourceReader::read_text_file(const fs::path& path, const std::string& name) {
  if (is_sft()) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading {}: it is plain text, and the recipe's kind is sft, which wants conversations in a "
                    ".jsonl file; set kind = \"pretrain\" to learn all of a text",
                    name)};
  }
  NARU_ASSIGN(LineReader reader, LineReader::open(path, name));
  Document document;
  document.ids = context_.tokenizer.prefix_ids();
  item_ = 1;
  bool has_text = false;
  while (true) {
    NARU_ASSIGN(const auto block, reader.next_block());
    if (!block) break;
    std::string_view text = *block;
    if (const int64_t good = formats::utf8_valid_prefix(text); good < static_cast<int64_t>(text.size())) {
      const auto line_ends = std::count(text.begin(), text.begin() + good, '\n');
      return Error{Code::kCorrupt,
                   fmt::format("reading {}:{}: byte \\x{:02X} is no valid UTF-8 there; convert the file to UTF-8", name,
                               reader.line() + line_ends, static_cast<unsigned char>(text[static_cast<size_t>(good)]))};
    }
    if (reader.line() == 1 && text.starts_with("\xEF\xBB\xBF")) {
      text.remove_prefix(3);
      note(name + ":1", "its byte order mark left out");
    }
    has_text |= text.find_first_not_of(" \t\r\n") != std::string_view::npos;
    const text::Segment segment{std::string(text), true};
    const std::vector<int32_t> ids = context_.tokenizer.encode_segments({&segment, 1});
    document.ids.insert(document.ids.end(), ids.begin(), ids.end());
    NARU_TRY(check_room(static_cast<int64_t>(document.ids.size()), name));
  }
  if (!has_text) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: the file is empty, some text was wanted; take it out of the recipe", name)};
  }
  if (const auto eos = context_.tokenizer.eos_id()) document.ids.push_back(*eos);
  document.loss.assign(document.ids.size(), 1);
  document.loss[0] = 0;
  return add(std::move(document), name);
}

Status SourceReader::read_file(const fs::path& path, const std::string& name) {
  const fs::path extension = path.extension();
  if (extension == ".jsonl") return read_lines(path, name);
  if (extension == ".txt") return read_text_file(path, name);
  return Error{Code::kInvalidArgument,
               fmt::format("reading {}: its name ends with '{}', .txt or .jsonl was wanted; rename it, or convert it",
                           name, formats::printable(extension.string()))};
}

Status SourceReader::read_path() {
  const fs::path path = context_.recipe_folder / source_.path;  // an absolute path stays as it is
  std::error_code error;
  if (!fs::exists(path, error)) {
    return Error{Code::kNotFound,
                 fmt::format("reading {}: there is no such file or folder; check the path (relative ones "
                             "count from the recipe's folder)",
                             source_.path)};
  }
  if (!fs::is_directory(path, error)) return read_file(path, source_.path);
  std::vector<fs::path> entries;
  for (auto entry = fs::directory_iterator(path, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    entries.push_back(entry->path());
    if (static_cast<int64_t>(entries.size()) > kDataFilesMax) {
      return Error{Code::kResourceExhausted, fmt::format("reading {}: the folder has more than {} files; join some",
                                                         source_.path, kDataFilesMax)};
    }
  }
  if (error) {
    return Error{Code::kUnavailable,
                 fmt::format("reading {}: {}; check that the folder may be read", source_.path, error.message())};
  }
  std::sort(entries.begin(), entries.end(),
            [](const fs::path& a, const fs::path& b) { return a.filename().native() < b.filename().native(); });
  int64_t n_files = 0;
  for (const fs::path& entry : entries) {
    const std::string name = (fs::path(source_.path) / entry.filename()).string();
    const fs::path extension = entry.extension();
    std::error_code ignored;
    if ((extension != ".jsonl" && extension != ".txt") || fs::is_directory(entry, ignored)) {
      note(name, "left out: no .txt or .jsonl file");
      continue;
    }
    ++n_files;
    NARU_TRY(read_file(entry, name));
  }
  if (n_files > 0) return {};
  return Error{Code::kNotFound, fmt::format("reading {}: the folder has no .txt and no .jsonl file, one at least was "
                                            "wanted; check the path",
                                            source_.path)};
}

Status SourceReader::add_problem(const Problem& problem, std::string_view place) {
  if (is_sft()) return add_sample(make_exchange(problem.prompt, problem.solution), place);
  // Two parts, so that the ids of the beginning are those of the prompt when the model is asked.
  Document document;
  document.ids = context_.tokenizer.prefix_ids();
  for (const std::string& text : {problem.text_prompt, " " + problem.solution}) {
    const text::Segment segment{text, true};
    const std::vector<int32_t> ids = context_.tokenizer.encode_segments({&segment, 1});
    document.ids.insert(document.ids.end(), ids.begin(), ids.end());
  }
  if (const auto eos = context_.tokenizer.eos_id()) document.ids.push_back(*eos);
  document.loss.assign(document.ids.size(), 1);
  document.loss[0] = 0;
  return add(std::move(document), place);
}

Status SourceReader::read_generator() {
  NARU_ASSIGN(const GeneratorOptions options, generator_options(source_));
  NARU_ASSIGN(ProblemSeries series, ProblemSeries::create(options, context_.recipe.seed, context_.split,
                                                          documents_of_generator(source_, context_.split)));
  while (true) {
    NARU_ASSIGN(const auto problem, series.next());
    if (!problem) return {};
    item_ = series.index();
    NARU_TRY(add_problem(*problem, fmt::format("{}:{}", source_.generator, item_)));
  }
}

}  // namespace

Result<std::vector<Document>> read_source(const SourceRecipe& source, int32_t index, SourceContext& context,
                                          SourceStatistics& statistics) {
  if (source.path.empty() == source.generator.empty()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading source {} of the data: it has {}, one of path and generator was wanted; correct "
                             "the recipe",
                             index, source.path.empty() ? "neither path nor generator" : "both path and generator")};
  }
  if (source.generator.empty() && (source.documents != 0 || !source.language.empty() || !source.trace.empty())) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: documents, language and trace are of generators, and this is a path; take "
                             "them out of the recipe",
                             source.path)};
  }
  statistics.name = source.generator.empty() ? source.path : source.generator;
  return SourceReader(source, index, context, statistics).read();
}

}  // namespace naru::train
