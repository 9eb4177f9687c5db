#include "cli/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/double_math.h"
#include "base/file.h"
#include "base/shown_text.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/train_tokenizer.h"
#include "data/batches.h"
#include "data/ngram.h"
#include "data/texts.h"
#include "formats/model_config.h"
#include "recipes/recipe.h"
#include "text/chat_tokenizer.h"
#include "train/training_model_files.h"

namespace naru::cli {
namespace {
namespace fs = std::filesystem;

constexpr int64_t kShownDocumentsMax = 1000;  // of each source
constexpr int64_t kShownTokensMax = 400;      // of a document
constexpr size_t kShownNotes = 20;            // without --notes

struct Data {
  recipes::Recipe recipe;
  std::string tokenizer_path;
  text::Tokenizer tokenizer;
  data::BatchStream training;
  std::optional<data::BatchStream> validation;
  std::optional<data::NgramBaseline> baseline;
};

Result<formats::TokenizerData> read_tokenizer(const DataOptions& options, const recipes::Recipe& recipe,
                                              const std::string& path) {
  auto data = read_tokenizer_data(path);
  if (data.ok() || data.error().code != Code::kNotFound || recipe.model.tokenizer.empty()) return data;
  return Error{Code::kNotFound,
               fmt::format("{}; `naru data {} --train-tokenizer {}` makes one of the recipe's own data",
                           data.error().message, options.recipe_path, path)};
}

Result<Data> open_data(const DataOptions& options) {
  NARU_ASSIGN(recipes::Recipe recipe, recipes::read_recipe(options.recipe_path, options.overrides));
  const fs::path folder = fs::path(options.recipe_path).parent_path();
  const std::string& written = recipe.model.tokenizer.empty() ? recipe.model.path : recipe.model.tokenizer;
  if (written.empty()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: the model has neither a path nor a tokenizer, and text needs one; set "
                             "model.tokenizer to a folder with tokenizer.json",
                             options.recipe_path)};
  }
  if (options.ngram && recipe.validation.empty()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: it has no [[validation]], which --ngram measures on; add a source there",
                             options.recipe_path)};
  }
  const std::string tokenizer_path = recipes::resolved_path(written, folder).string();
  NARU_ASSIGN(formats::TokenizerData tokenizer_data, read_tokenizer(options, recipe, tokenizer_path));
  NARU_ASSIGN(std::optional<std::string> own_template, train::read_own_template(recipe, folder));
  if (own_template) text::replace_chat_template(tokenizer_data, std::move(*own_template));
  NARU_ASSIGN(text::ChatTokenizer made, text::ChatTokenizer::create(std::move(tokenizer_data)));
  if (!made.template_status.ok() && made.template_status.error().code != Code::kNotFound) {
    return made.template_status.error();
  }
  text::Tokenizer tokenizer = std::move(made.tokenizer);
  const text::ChatTemplate* chat_template = made.chat_template ? &*made.chat_template : nullptr;
  NARU_ASSIGN(data::BatchStream training,
              data::BatchStream::open(recipe, recipe.data, tokenizer, chat_template, folder));
  std::optional<data::BatchStream> validation;
  std::optional<data::NgramBaseline> baseline;
  if (!recipe.validation.empty()) {
    NARU_ASSIGN(validation, data::BatchStream::open(recipe, recipe.validation, tokenizer, chat_template, folder));
  }
  if (options.ngram) baseline = data::ngram_baseline(training, *validation, tokenizer.n_ids());
  return Data{std::move(recipe),   tokenizer_path,        std::move(tokenizer),
              std::move(training), std::move(validation), baseline};
}

data::SourceStatistics sum_of(const std::vector<data::SourceStatistics>& sources) {
  data::SourceStatistics sum;
  sum.name = "together";
  for (const data::SourceStatistics& s : sources) {
    sum.n_documents += s.n_documents;
    sum.n_tokens += s.n_tokens;
    sum.n_targets += s.n_targets;
    sum.n_rows += s.n_rows;
    sum.n_pieces += s.n_pieces;
    sum.n_cut += s.n_cut;
    sum.n_dropped += s.n_dropped;
    sum.share += s.share;
  }
  return sum;
}

// How much of its rows a source fills.
double fill_of(const data::SourceStatistics& s, int64_t context) {
  return static_cast<double>(s.n_tokens) / static_cast<double>(s.n_rows * context);
}

// The first documents of every source, as indices for BatchStream::document.
std::vector<int64_t> shown_documents(const data::BatchStream& stream, int64_t n_each) {
  std::vector<int64_t> indices;
  int64_t begin = 0;
  for (const data::SourceStatistics& s : stream.statistics()) {
    for (int64_t i = 0; i < std::min(n_each, s.n_documents); ++i) indices.push_back(begin + i);
    begin += s.n_documents;
  }
  return indices;
}

// Names of any script, cut to `columns`, then filled up with spaces.
std::string padded(const std::string& text, int64_t columns) {
  std::string out = one_line(text);
  const int64_t width = display_columns(out);
  if (width < columns) out.append(static_cast<size_t>(columns - width), ' ');
  return out;
}

std::string table_text(std::string_view heading, const data::BatchStream& stream, int64_t context, bool has_shares) {
  std::vector<data::SourceStatistics> rows = stream.statistics();
  if (rows.size() > 1) rows.push_back(sum_of(rows));
  int64_t columns = std::ssize(heading);
  for (const auto& s : rows) columns = std::max(columns, display_columns(one_line(s.name)));
  std::string text = fmt::format(
      "{}  {}\n", styled(padded(std::string(heading), columns), Style::kBold, Stream::kOut),
      styled(fmt::format("{:>10} {:>11} {:>11} {:>8} {:>7}{} {:>8} {:>6} {:>8}", "documents", "tokens", "learnt",
                         "rows", "filled", has_shares ? "   share" : "", "pieces", "cut", "dropped"),
             Style::kDim, Stream::kOut));
  for (const auto& s : rows) {
    text += fmt::format("{}  {:>10} {:>11} {:>11} {:>8} {:>6.1f}%{} {:>8} {:>6} {:>8}\n", padded(s.name, columns),
                        s.n_documents, s.n_tokens, s.n_targets, s.n_rows, 100 * fill_of(s, context),
                        has_shares ? fmt::format(" {:>6.1f}%", 100 * s.share) : "", s.n_pieces, s.n_cut, s.n_dropped);
  }
  return text;
}

std::string notes_text(std::string_view of, const data::BatchStream& stream, bool all) {
  if (stream.n_notes() == 0) return "";
  const auto& notes = stream.notes();
  const size_t n = all ? notes.size() : std::min(notes.size(), kShownNotes);
  std::string text = "\n" +
                     styled(fmt::format("{} note{} on {}", stream.n_notes(), stream.n_notes() == 1 ? "" : "s", of),
                            Style::kBold, Stream::kOut) +
                     "\n";
  for (size_t i = 0; i < n; ++i) {
    text += fmt::format("  {}  {}\n", one_line(notes[i].place), one_line(notes[i].reason));
  }
  const int64_t n_left = stream.n_notes() - static_cast<int64_t>(n);
  if (n_left > 0) {
    text += fmt::format("  and {} more{}\n", n_left, all ? ", past what is kept" : "; --notes lists them");
  }
  return text;
}

// A document on the terminal: neighbouring tokens in two shades; what is learnt in two others. Without colours a bar
// between tokens, and brackets around what is learnt. A character made of several tokens shows with its last.
std::string document_text(const data::Document& document, const text::Tokenizer& tokenizer) {
  const bool has_colours = !style_code(Style::kDim, Stream::kOut).empty();
  text::StreamDecoder decoder(tokenizer, false);
  std::string text;
  const auto n_tokens = std::ssize(document.ids);
  const int64_t n_shown = std::min<int64_t>(n_tokens, kShownTokensMax);
  bool was_learnt = false, is_first = true, is_odd = false;
  for (int64_t i = 0; i < n_shown; ++i) {
    const bool is_learnt = document.loss[static_cast<size_t>(i)] == 1;
    const std::string piece = decoder.push(document.ids[static_cast<size_t>(i)]);
    std::string shown;
    for (const char c : without_controls(piece)) shown += c == '\n' ? std::string("↵\n  ") : std::string(1, c);
    if (has_colours) {
      const Style style = is_learnt ? (is_odd ? Style::kCyan : Style::kGreen) : (is_odd ? Style::kDim : Style::kPlain);
      text += style == Style::kPlain ? shown : styled(shown, style, Stream::kOut);
    } else {
      if (was_learnt && !is_learnt) text += "⟧";
      if (!was_learnt && is_learnt) text += "⟦";
      if (was_learnt == is_learnt && !is_first && !shown.empty()) text += "|";
      text += shown;
    }
    was_learnt = is_learnt;
    is_first = false;
    is_odd = !is_odd;
  }
  const std::string rest = without_controls(decoder.finish());
  text += rest;
  if (!has_colours && was_learnt) text += "⟧";
  if (n_shown < n_tokens) text += fmt::format(" ... and {} tokens more", n_tokens - n_shown);
  return text;
}

std::string documents_text(const Data& data, int64_t n_each) {
  const std::vector<int64_t> indices = shown_documents(data.training, n_each);
  if (indices.empty()) return "";
  const auto sample = [](std::string_view a, std::string_view b, Style first, Style second) {
    return (first == Style::kPlain ? std::string(a) : styled(a, first, Stream::kOut)) + styled(b, second, Stream::kOut);
  };
  std::string text = "\n" + styled("Documents", Style::kBold, Stream::kOut) + "  ";
  if (style_code(Style::kDim, Stream::kOut).empty()) {
    text += "tokens between bars |, ⟦learnt⟧; ↵ a line break\n";
  } else {
    text += fmt::format("tokens in turn {}, {}; ↵ a line break\n", sample("like ", "this", Style::kPlain, Style::kDim),
                        sample("learnt like ", "this", Style::kGreen, Style::kCyan));
  }
  for (const int64_t index : indices) {
    const data::Document& document = data.training.document(index);
    const auto n_learnt = std::count(document.loss.begin(), document.loss.end(), uint8_t{1});
    text += "\n" +
            styled(fmt::format("{} ({} tokens, {} learnt)", one_line(data.training.place(document)),
                               document.ids.size(), n_learnt),
                   Style::kBold, Stream::kOut) +
            "\n  " + document_text(document, data.tokenizer) + "\n";
  }
  return text;
}

std::string baseline_text(const data::NgramBaseline& b) {
  std::string text = fmt::format(
      "5-gram baseline: {:.4f} nats a token, perplexity {:.3f}, over {} held-out targets ({} of training, {} "
      "n-grams)\n",
      b.nll, exp_double(b.nll), b.n_targets, b.n_events, b.n_nodes);
  if (b.documents_counted < b.documents) {
    text += fmt::format("  it counted {} of {} documents: more would have passed its limit of {} n-grams\n",
                        b.documents_counted, b.documents, data::kNgramNodesMax);
  }
  return text;
}

std::string text_of(const DataOptions& options, const Data& data) {
  const recipes::BatchRecipe& batch = data.recipe.batch;
  std::string text = fmt::format("{}: {}, {} rows of {} tokens a step, {} in a micro-batch, seed {}\n\n",
                                 one_line(short_name(options.recipe_path)), recipes::run_kind_name(data.recipe.kind),
                                 batch.rows, batch.context, batch.micro_rows, data.recipe.seed);
  text += table_text("Training", data.training, batch.context, true);
  const int64_t steps = data.training.steps_per_epoch();
  text += fmt::format("{} step{} {}; data {}\n", steps, steps == 1 ? "" : "s",
                      data.training.statistics().size() > 1 ? "until the first source was seen whole" : "an epoch",
                      data.training.sha256().substr(0, 16));
  if (data.validation) text += "\n" + table_text("Validation", *data.validation, batch.context, false);
  if (data.baseline) text += "\n" + baseline_text(*data.baseline);
  text += notes_text("training data", data.training, options.all_notes);
  if (data.validation) text += notes_text("validation data", *data.validation, options.all_notes);
  return text + documents_text(data, options.documents);
}

Json stream_json(const data::BatchStream& stream, int64_t context) {
  const auto object = [context](const data::SourceStatistics& s) {
    return Json{
        {"documents", s.n_documents},    {"tokens", s.n_tokens}, {"learnt", s.n_targets}, {"rows", s.n_rows},
        {"filled", fill_of(s, context)}, {"pieces", s.n_pieces}, {"cut", s.n_cut},        {"dropped", s.n_dropped}};
  };
  Json json = object(sum_of(stream.statistics()));
  json["steps_per_epoch"] = stream.steps_per_epoch();
  json["sha256"] = stream.sha256();
  json["sources"] = Json::array();
  for (const auto& s : stream.statistics()) {
    Json source = {{"name", s.name}, {"share", s.share}};
    source.update(object(s));
    json["sources"].push_back(std::move(source));
  }
  json["n_notes"] = stream.n_notes();
  json["notes"] = Json::array();
  for (const auto& note : stream.notes()) json["notes"].push_back({{"place", note.place}, {"reason", note.reason}});
  return json;
}

Json json_of(const DataOptions& options, const Data& data) {
  const recipes::BatchRecipe& batch = data.recipe.batch;
  Json json = {{"recipe", options.recipe_path},    {"kind", recipes::run_kind_name(data.recipe.kind)},
               {"context", batch.context},         {"rows", batch.rows},
               {"micro_rows", batch.micro_rows},   {"seed", data.recipe.seed},
               {"tokenizer", data.tokenizer_path}, {"train", stream_json(data.training, batch.context)}};
  if (data.validation) json["validation"] = stream_json(*data.validation, batch.context);
  if (const auto& b = data.baseline) {
    json["ngram"] = {{"order", data::kNgramOrder},
                     {"nll", b->nll},
                     {"perplexity", exp_double(b->nll)},
                     {"targets", b->n_targets},
                     {"training_targets", b->n_events},
                     {"ngrams", b->n_nodes},
                     {"documents_counted", b->documents_counted}};
  }
  json["documents"] = Json::array();
  for (const int64_t index : shown_documents(data.training, options.documents)) {
    const data::Document& document = data.training.document(index);
    json["documents"].push_back({{"place", data.training.place(document)},
                                 {"ids", document.ids},
                                 {"learnt", document.loss},
                                 {"text", data.tokenizer.decode(document.ids)}});
  }
  return json;
}

bool is_recipe(const std::string& path) {
  return fs::path(path).extension() == ".toml";
}

// As many ids as the recipe's new model has rows for.
Result<std::optional<int64_t>> vocab_of_config(const recipes::Recipe& recipe, const fs::path& folder) {
  if (recipe.model.config.empty()) return std::optional<int64_t>();
  const fs::path path = recipes::resolved_path(recipe.model.config, folder);
  NARU_ASSIGN(const std::string json, read_file(path, formats::kConfigBytesMax));
  NARU_ASSIGN(const formats::ModelConfig config, formats::parse_model_config(as_bytes(json), path.string()));
  return std::optional<int64_t>(config.vocab);
}

Status train_tokenizer(const DataOptions& options) {
  const NewTokenizerOptions& wanted = options.tokenizer;
  TrainTokenizerOptions how;
  how.inputs = {options.recipe_path};
  how.output = wanted.output;
  how.existing = wanted.existing;
  how.pre_tokenizer = wanted.pre_tokenizer;
  how.special_tokens = wanted.special_tokens;
  how.json = options.json;
  how.vocab_size = wanted.vocab_size.value_or(how.vocab_size);
  if (!is_recipe(options.recipe_path)) {
    how.inputs.insert(how.inputs.end(), options.overrides.begin(), options.overrides.end());
    return train_tokenizer_command(how);
  }
  NARU_ASSIGN(const recipes::Recipe recipe, recipes::read_recipe(options.recipe_path, options.overrides));
  const fs::path folder = fs::path(options.recipe_path).parent_path();
  if (!wanted.vocab_size) {
    NARU_ASSIGN(const auto vocab, vocab_of_config(recipe, folder));
    how.vocab_size = vocab.value_or(how.vocab_size);
  }
  how.texts = [&](const TextVisit& visit) { return data::visit_texts(recipe, folder, visit); };
  return train_tokenizer_command(how);
}

}  // namespace

Status data_command(const DataOptions& options) {
  if (!options.tokenizer.output.empty()) return train_tokenizer(options);
  end_at_first_interrupt();
  NARU_ASSIGN(const Data data, open_data(options));
  return write_out(options.json ? json_text(json_of(options, data)) : text_of(options, data));
}

namespace {

Error misused(std::string_view what, std::string_view next) {
  return {Code::kInvalidArgument, fmt::format("reading the command line: naru data: {}; {}", what, next)};
}

// Every flag belongs to one of the two things that the command does, showing or training.
Status check_data(const DataOptions& options, bool has_show_flags) {
  const NewTokenizerOptions& t = options.tokenizer;
  const bool is_training = !t.output.empty();
  if (options.recipe_path.empty()) {
    return is_training ? misused("--train-tokenizer has nothing to learn from",
                                 "name a recipe, or text files (.jsonl, or any other as plain text)")
                       : misused("RECIPE is missing",
                                 "it is a recipe of training (.toml); for example: naru data recipes/chat.toml");
  }
  const bool is_forced = t.existing == Existing::kReplace;
  if (!is_training && (t.vocab_size || !t.pre_tokenizer.empty() || !t.special_tokens.empty() || is_forced)) {
    return misused("--vocab, --pre-tokenizer, --special and --force are of a new tokenizer, and none is asked for",
                   "add --train-tokenizer OUT, or leave them out");
  }
  if (is_training && has_show_flags) {
    return misused("--documents, --notes and --ngram show data, and --train-tokenizer shows none",
                   "leave them out, or train the tokenizer first");
  }
  return {};
}

Flag tokenizer_force_flag(Existing* existing) {
  Flag flag = force_flag(existing);
  flag.group = kGroupTokenizer;
  flag.help = "replace OUT where it holds a tokenizer already; else it is refused";
  return flag;
}

std::vector<Flag> tokenizer_flags(const std::shared_ptr<DataOptions>& o) {
  const auto text = [](std::string* target) {
    return [target](const Given& given) -> Status {
      if (given.text.empty()) return bad_value(given, "some text");
      *target = given.text;
      return {};
    };
  };
  return {
      {"train-tokenizer", "OUT", kGroupTokenizer,
       "make a tokenizer of a recipe's data, or of files, in this new folder", text(&o->tokenizer.output), 0, false,
       false},
      {"vocab", "N", kGroupTokenizer, "its ids in all; default: those of the model that a recipe begins, else 32000",
       [o](const Given& given) -> Status {
         NARU_ASSIGN(o->tokenizer.vocab_size, parse_integer(given, 1, formats::kTokenIdsMax));
         return {};
       },
       0, false, false},
      {"pre-tokenizer", "NAME", kGroupTokenizer,
       "the family whose way of cutting text into words it takes; default deepseek-v3",
       text(&o->tokenizer.pre_tokenizer), 0, false, false},
      {"special", "TOKEN", kGroupTokenizer,
       "a control token beside those of ChatML and <think>, </think>; may be repeated",
       [o](const Given& given) -> Status {
         o->tokenizer.special_tokens.push_back(given.text);
         return {};
       },
       0, true, false},
      tokenizer_force_flag(&o->tokenizer.existing)};
}

}  // namespace

Command make_data() {
  auto o = std::make_shared<DataOptions>();
  const auto has_show_flags = std::make_shared<bool>(false);
  const auto on = [has_show_flags](bool* target) {
    return [target, has_show_flags](const Given&) -> Status {
      *target = *has_show_flags = true;
      return {};
    };
  };
  Command c{.name = "data",
            .summary = "what a recipe's training data becomes, and what was cut or dropped",
            .description =
                "Reads the data of a recipe as training does and shows its documents, tokens and rows, every line that "
                "was cut or dropped with the reason, and some documents token by token with what is learnt marked. "
                "No model is trained and no weights are read. With --train-tokenizer it makes a tokenizer instead, of "
                "the same data or of files."};
  const auto recipe = [o](const Given& given) -> Status {
    o->recipe_path = given.text;
    return {};
  };
  const auto add_override = [o](const Given& given) -> Status {
    o->overrides.push_back(given.text);
    return {};
  };
  c.arguments = {{"RECIPE", "a recipe of training (.toml); for a new tokenizer it may be a text file", false, recipe},
                 {"KEY=VALUE", "other values for keys of the recipe, as batch.context=256; or more text files", false,
                  add_override, true}};
  c.flags = {{"documents", "N", kGroupOutput, "documents shown of each source; default 2",
              [o, has_show_flags](const Given& given) -> Status {
                NARU_ASSIGN(o->documents, parse_integer(given, 0, kShownDocumentsMax));
                *has_show_flags = true;
                return {};
              },
              0, false, false},
             {"notes", "", kGroupOutput, "every note on lines cut or dropped; else the first 20", on(&o->all_notes), 0,
              false, false},
             {"ngram", "", kGroupOutput, "also train a 5-gram model: the loss on [[validation]] to get below",
              on(&o->ngram), 0, false, false},
             {"json", "", kGroupOutput, "everything as one JSON object on standard output",
              [o](const Given&) -> Status {
                o->json = true;
                return {};
              },
              0, false, false}};
  for (Flag& flag : tokenizer_flags(o)) c.flags.push_back(std::move(flag));
  c.examples = {{"naru data recipes/chat.toml", "Counts, notes and two documents of each source."},
                {"naru data recipes/chat.toml batch.context=256 --notes", "What another context would cut."},
                {"naru data recipes/story.toml --ngram --documents 0", "The loss that a 5-gram model reaches."},
                {"naru data recipes/story.toml --train-tokenizer ./tokenizer", "A tokenizer of the recipe's data."},
                {"naru data --train-tokenizer ./tokenizer --vocab 8000 a.txt b.jsonl", "A tokenizer of files."}};
  c.check = [o, has_show_flags] { return check_data(*o, *has_show_flags); };
  c.has_recipe = true;
  c.run = [o] { return data_command(*o); };
  return c;
}

}  // namespace naru::cli
