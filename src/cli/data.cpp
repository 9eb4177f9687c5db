#include "cli/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/double_math.h"
#include "base/file.h"
#include "base/home.h"
#include "cli/data_text.h"
#include "cli/find_model.h"
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

Result<formats::TokenizerData> read_tokenizer(const DataOptions& options, const recipes::Recipe& recipe,
                                              const std::string& path) {
  auto data = read_tokenizer_data(path);
  if (data.ok() || data.error().code != Code::kNotFound || recipe.model.tokenizer.empty()) return data;
  return Error{Code::kNotFound,
               fmt::format("{}; `naru data {} --train-tokenizer {}` makes one of the recipe's own data",
                           data.error().message, options.recipe_path, path)};
}

Result<RecipeData> open_data(const DataOptions& options) {
  if (options.recipe_path.ends_with(".jsonl")) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: it is a data file, a recipe (a TOML file) was wanted; "
                             "name it in one under [[data]]",
                             options.recipe_path)};
  }
  NARU_ASSIGN(recipes::Recipe recipe, recipes::read_recipe(options.recipe_path, options.overrides));
  if (recipes::has_rollouts(recipe.kind) || recipe.kind == recipes::RunKind::kRejection) {
    return Error{
        Code::kUnsupported,
        fmt::format("reading {}: its kind is {}, whose texts are the model's own answers, texts of its own were "
                    "wanted; docs/data.md shows the problems of each generator",
                    options.recipe_path, recipes::run_kind_name(recipe.kind))};
  }
  const fs::path folder = fs::path(options.recipe_path).parent_path();
  NARU_TRY(find_recipe_models(recipe.model, folder));
  const std::string tokenizer_path = recipes::tokenizer_place(recipe.model, folder).string();
  if (tokenizer_path.empty()) {
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
  return RecipeData{std::move(recipe),   tokenizer_path,        std::move(tokenizer),
                    std::move(training), std::move(validation), baseline};
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
  json["files"] = Json::array();
  for (const auto& file : stream.files()) {
    json["files"].push_back({{"name", file.name}, {"read_as", file.form}, {"bytes", file.bytes}});
  }
  json["n_notes"] = stream.n_notes();
  json["notes"] = Json::array();
  for (const auto& note : stream.notes()) json["notes"].push_back({{"place", note.place}, {"reason", note.reason}});
  return json;
}

Json json_of(const DataOptions& options, const RecipeData& data) {
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
    for (const std::string& path : options.overrides) how.inputs.push_back(with_home(path));
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
  NARU_ASSIGN(const RecipeData data, open_data(options));
  return write_out(options.json ? json_text(json_of(options, data)) : data_text(options, data));
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
