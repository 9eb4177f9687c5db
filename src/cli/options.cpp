#include "cli/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <memory>

#include "builtin/builtin.h"
#include "cli/check.h"
#include "cli/data.h"
#include "cli/eval.h"
#include "cli/find_model.h"
#include "cli/flag_values.h"
#include "cli/grads.h"
#include "cli/models.h"
#include "cli/program.h"
#include "cli/run_words.h"
#include "cli/runs.h"
#include "cli/sample.h"
#include "cli/serve.h"
#include "cli/train.h"
#include "engine/memory_plan.h"
#include "engine/text_stream.h"
#include "formats/generation_config.h"

namespace naru::cli {
namespace {

constexpr int64_t kThreadsMax = 1024;

template <typename T>
SetFlag set_text(T* target) {
  return [target](const Given& given) -> Status {
    *target = given.text;
    return {};
  };
}

SetFlag set_compute(contract::ComputeMode* target) {
  return [target](const Given& given) -> Status {
    const auto mode = contract::compute_mode_from_name(given.text);
    if (!mode) return bad_value(given, "f32, bf16 or auto");
    *target = *mode;
    return {};
  };
}

SetFlag set_cache_dtype(std::optional<DType>* target) {
  return [target](const Given& given) -> Status {
    NARU_ASSIGN(const size_t index, parse_word(given, {"f32", "bf16"}));
    *target = index == 0 ? DType::kF32 : DType::kBF16;
    return {};
  };
}

SetFlag set_gguf_kind(std::optional<exports::GgufKind>* target) {
  return [target](const Given& given) -> Status {
    Given lower = given;  // other programs write kinds in capitals
    for (char& letter : lower.text) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    if (lower.text == "q4_k" || lower.text == "q5_k") lower.text += "_m";  // and the usual mixtures without their size
    NARU_ASSIGN(const size_t index, parse_word(lower, exports::gguf_kind_names()));
    *target = static_cast<exports::GgufKind>(index);
    return {};
  };
}

// The flag as it is, and what set it is kept.
void note_origin(Flag& flag, std::map<std::string, std::string>& given_by) {
  flag.set = [set = std::move(flag.set), name = flag.long_name, &given_by](const Given& given) -> Status {
    given_by[name] = given.source;
    return set(given);
  };
}

Command make_run() {
  auto o = std::make_shared<RunOptions>();
  Command c{
      .name = "run",
      .summary = "answer a prompt, or chat in the terminal",
      .description =
          "Answers a prompt. The prompt is PROMPT, or what comes through a pipe, or both (the pipe "
          "first). With neither it starts a chat in the terminal. Without MODEL the built-in one answers: a small "
          "model inside of this program, which knows word problems and countdown and nothing else; before a prompt "
          "it is called builtin."};
  const auto words = std::make_shared<std::vector<Given>>();
  const auto add_word = [words](const Given& given) -> Status {
    words->push_back(given);
    return {};
  };
  Argument model = model_argument(&o->model.path);
  model.is_required = false;  // not where a server is asked, or the built-in model
  model.set = add_word;
  c.arguments = {std::move(model), {"PROMPT", "the question or task", false, add_word}};
  c.flags = {
      {"system", "TEXT", kGroupAnswer, "instructions to the model, before the conversation", set_text(&o->system)},
      {"chat-template", "FILE", kGroupAnswer, "a Jinja chat template, in the place of the model's own",
       set_text(&o->chat_template)},
      {"raw", "", kGroupAnswer, "the prompt as it is, without the model's chat template", set_on(&o->is_raw)},
      max_tokens_flag(&o->max_tokens),
      {"stop", "TEXT", kGroupAnswer, "end the answer where this text would come; may be repeated",
       [o](const Given& given) -> Status {
         if (given.text.empty()) return bad_value(given, "a text of at least one character");
         o->stop.push_back(given.text);
         return {};
       },
       0, true},
      {"hide-reasoning", "", kGroupAnswer, "do not show what the model thinks before it answers",
       set_on(&o->hide_reasoning)},
  };
  add_form_flags(o->form, c.flags);
  add_sampling_flags(o->sampling, c.flags);
  c.flags.push_back({"no-history", "", kGroupOutput, "in the chat: read and keep no history of what was typed",
                     [o](const Given&) -> Status {
                       o->has_history = false;
                       return {};
                     }});
  c.flags.push_back(json_flag(&o->json, "one JSON object: text, ids, logprobs, usage, timings"));
  c.flags.push_back({"stats", "", kGroupOutput, "after the answer: load time, time to the first token, tokens/s",
                     set_on(&o->show_stats)});
  c.flags.push_back({"server", "URL", kGroupServer,
                     "ask a server that speaks OpenAI's API (http://, https://, unix:PATH), in the place of MODEL",
                     set_some_text(&o->server), 0, false, false});
  c.flags.push_back({"model", "NAME", kGroupServer, "which of the server's models; default: the one that it has",
                     set_text(&o->server_model), 0, false, false});
  c.flags.push_back({"api-key-file", "FILE", kGroupServer,
                     "holds the key that the server wants; default: NARU_API_KEY, else OPENAI_API_KEY",
                     set_text(&o->api_key_file)});
  c.flags.push_back(adapter_flag(o->model));
  add_model_flags(o->model, c.flags);
  c.flags.push_back(context_flag(o->model));
  for (Flag& flag : c.flags) note_origin(flag, o->given_by);
  c.examples = {{"naru run", "A chat with the built-in model: nothing is needed."},
                {"naru run model.gguf \"Why is the sky blue?\"", "One answer, as it is made."},
                {"naru run model.gguf", "A chat (docs/chat.md). /help lists what can be typed there."},
                {"git diff | naru run ./model \"Write a commit message for this.\" --temperature 0",
                 "Both prompts joined; the likeliest answer."},
                {"naru run --server http://127.0.0.1:8080 \"Why?\"", "The same of a server (naru serve, or another)."}};
  c.check = [o, words]() -> Status {
    NARU_TRY(take_run_words(*o, *words));
    NARU_TRY(check_form_flags(o->form));
    if (!o->is_raw || !o->chat_template) return {};
    return Error{
        Code::kInvalidArgument,
        "reading the command line: naru run: --chat-template and --raw were both given, and --raw goes without a "
        "template; give one of them"};
  };
  c.run = [o] { return run_command(*o); };
  return c;
}

Command make_show() {
  auto o = std::make_shared<ShowOptions>();
  Command c{.name = "show",
            .summary = "what a model is and costs, or what this machine has",
            .description =
                "Shows a model: its shape, its parameters, the memory it takes at a context length and whether "
                "that fits here. No weights are read, unless --sha256 asks for hashes. With --machine: what "
                "this machine has and uses."};
  Argument model = model_argument(&o->model.path);
  model.is_required = false;
  c.arguments = {std::move(model)};
  c.flags = {{"machine", "", kGroupInput, "show this machine instead of a model", set_on(&o->machine), 0, false, false},
             {"sha256", "", kGroupInput, "SHA-256 of the model's files (--json always has it)", set_on(&o->sha256), 0,
              false, false}};
  c.flags.push_back(json_flag(&o->json, "one JSON object"));
  add_model_flags(o->model, c.flags);
  c.flags.push_back(context_flag(o->model));
  std::erase_if(c.flags, [](const Flag& flag) { return flag.long_name == "explain"; });
  c.examples = {{"naru show model.gguf --context 4096", "What it takes to run with 4096 tokens."},
                {"naru show builtin", "The built-in model: how it was made, and how to make it again."},
                {"naru show --machine", "The processor, and the level of instructions in use."}};
  c.check = [o]() -> Status {
    if (o->model.path.empty() != o->machine) {
      return Error{
          Code::kInvalidArgument,
          fmt::format("reading the command line: naru show: {}; give one of them, for example: naru show "
                      "model.gguf",
                      o->machine ? "both MODEL and --machine were given" : "neither MODEL nor --machine was given")};
    }
    return {};
  };
  c.run = [o] { return show_command(*o); };
  return c;
}

Command make_logits() {
  auto o = std::make_shared<LogitsOptions>();
  Command c{.name = "logits",
            .summary = "the logits of given tokens, for comparing engines",
            .description =
                "Runs a model over token ids and writes the logits at every position as a float32 array "
                "[tokens, vocabulary] in NumPy's format. Needs no tokenizer."};
  c.arguments = {model_argument(&o->model.path)};
  c.flags = {{"ids", "FILE", kGroupInput, "a JSON array of token ids", set_text(&o->ids_path), 0, false, false},
             {"out", "FILE", kGroupInput, "the .npy file to write; it appears when it is whole", set_text(&o->out_path),
              0, false, false}};
  c.flags.push_back(adapter_flag(o->model));
  c.flags.push_back(force_flag(&o->existing));
  c.flags.push_back(json_flag(&o->json, "what was done as one JSON object on standard output"));
  add_model_flags(o->model, c.flags);
  c.flags.push_back(context_flag(o->model));
  c.examples = {{"naru logits ./model --ids ids.json --out logits.npy --compute f32",
                 "Exact weights and f32 products: the mode to compare with other engines in."}};
  c.check = [o]() -> Status {
    for (const auto& [name, value] : {std::pair{"--ids", &o->ids_path}, std::pair{"--out", &o->out_path}}) {
      if (!value->empty()) continue;
      return Error{Code::kInvalidArgument, fmt::format("reading the command line: naru logits: {} is missing; for "
                                                       "example: naru logits ./model --ids ids.json --out logits.npy",
                                                       name)};
    }
    return {};
  };
  c.run = [o] { return logits_command(*o); };
  return c;
}

Command make_tokenize() {
  auto o = std::make_shared<TokenizeOptions>();
  Command c{.name = "tokenize",
            .summary = "text to token ids and back",
            .description =
                "Reads text from standard input, as it is, and prints its token ids, as the model's official "
                "tokenizer gives them. With --decode the other way."};
  c.arguments = {{"MODEL", "a folder with tokenizer.json, a .gguf file, the name of a pulled model, or builtin", true,
                  set_model_path(&o->path)}};
  const auto flag = [](const char* name, const char* help, bool* target) {
    return Flag{name, "", kGroupInput, help, set_on(target), 0, false, false};
  };
  c.flags = {flag("decode", "read ids (JSON array, {\"ids\": [...]}, or separated by spaces), write text", &o->decode),
             flag("special",
                  "special tokens written in the text become their ids (this is the default, as in the "
                  "official tokenizers)",
                  &o->parse_special),
             {"no-special", "", kGroupInput, "special tokens written in the text are plain text",
              [o](const Given&) -> Status {
                o->parse_special = false;
                return {};
              },
              0, false, false},
             flag("add-special", "put around the text what the tokenizer asks for (begin of sequence and the like)",
                  &o->add_special)};
  c.flags.push_back(json_flag(&o->json, "{\"ids\": [...], \"pieces\": [...]}, or {\"text\": ...} with --decode"));
  c.examples = {{"naru tokenize model.gguf --json < text.txt", "Ids and the text of each."},
                {"naru tokenize ./model < text.txt | naru tokenize ./model --decode", "There and back."}};
  c.run = [o] { return tokenize_command(*o); };
  return c;
}

Command make_convert() {
  auto o = std::make_shared<ConvertOptions>();
  Command c{
      .name = "convert",
      .summary = "a model as a Hugging Face folder or as GGUF",
      .description =
          "Writes a model again, with its tokenizer and chat template: a GGUF file as llama.cpp reads it, or a Hugging "
          "Face folder (safetensors, config.json, tokenizer.json). A GGUF file may be quantised: by the rule of "
          "llama.cpp's mixtures, with scales searched for the least error; where blocks of 256 do not divide a row it "
          "says which kind took their place. What the other form cannot say is refused by name."};
  c.arguments = {
      model_argument(&o->path),
      {"OUT", "the .gguf file or the folder to make; it appears when it is whole", false, set_text(&o->out_argument)}};
  c.flags = {{"out", "PATH", kGroupOutput, "the same as OUT", set_text(&o->out_path), 0, false, false},
             {"to", "gguf|hf", kGroupOutput, "the form; default: gguf where OUT ends in .gguf, else hf",
              [o](const Given& given) -> Status {
                NARU_ASSIGN(const size_t index, parse_word(given, {"gguf", "hf"}));
                o->target = static_cast<ConvertOptions::Target>(index);
                return {};
              },
              0, false, false},
             {"dtype", "KIND", kGroupOutput,
              fmt::format("{}; a folder: f32 or bf16. Default: f32 where the model is f32 throughout, else bf16",
                          fmt::join(exports::gguf_kind_names(), ", ")),
              set_gguf_kind(&o->kind), 0, false, false}};
  c.flags.push_back(threads_flag(&o->threads));
  c.flags.push_back(force_flag(&o->existing));
  c.flags.push_back(json_flag(&o->json, "what was written as one JSON object on standard output"));
  c.examples = {{"naru convert runs/words/model words.gguf", "A trained model for llama.cpp."},
                {"naru convert ./model model.gguf --dtype q4_k_m", "In less than a third of the bytes."},
                {"naru convert model.gguf ./model --dtype bf16", "A folder that transformers loads."}};
  c.check = [o]() -> Status {
    if (o->out_path.empty()) o->out_path = o->out_argument;
    if (o->out_path.empty()) {
      return Error{Code::kInvalidArgument,
                   "reading the command line: naru convert: OUT is missing (or --out is); for example: naru convert "
                   "./model model.gguf"};
    }
    if (o->out_path == builtin::kModelName) {
      return Error{Code::kInvalidArgument,
                   "reading the command line: naru convert: OUT is `builtin`, which names the built-in model: a folder "
                   "called so would stand for it here; give another name, or ./builtin where you want just that"};
    }
    if (o->out_argument.empty() || o->out_argument == o->out_path) return {};
    return Error{Code::kInvalidArgument,
                 fmt::format("reading the command line: naru convert: OUT is {} and --out is {}; give one of them",
                             o->out_argument, o->out_path)};
  };
  c.run = [o] { return convert_command(*o); };
  return c;
}

Command make_bench() {
  auto o = std::make_shared<BenchOptions>();
  Command c{.name = "bench",
            .summary = "speed of a model beside the limits of this machine",
            .description =
                "Measures how fast a prompt is read and an answer is written when the cache already holds DEPTH "
                "tokens, beside this machine's measured memory bandwidth and peak arithmetic."};
  c.arguments = {model_argument(&o->model.path)};
  c.flags = {{"depths", "LIST", kGroupBench, "tokens in the cache before each measurement; default 0,512,2048",
              [o](const Given& given) -> Status {
                NARU_ASSIGN(o->depths, parse_integers(given, 0, kTokensMax, 32));
                return {};
              }},
             {"prompt-tokens", "N", kGroupBench, "tokens read at each depth; default 512",
              set_count(&o->prompt_tokens, 1, kTokensMax)},
             {"new-tokens", "N", kGroupBench, "tokens written at each depth; default 128",
              set_count(&o->new_tokens, 1, kTokensMax)},
             {"batch", "LIST", kGroupBench, "sequences written at once; default 1; may be repeated",
              [o](const Given& given) -> Status {
                NARU_ASSIGN(const auto values, parse_integers(given, 1, engine::kSessionsMax, 32));
                o->batches.insert(o->batches.end(), values.begin(), values.end());
                return {};
              },
              0, true},
             {"repeat", "N", kGroupBench, "runs of each measurement, of which the median is shown; default 3",
              set_count(&o->repeat, 1, 1000)}};
  c.flags.push_back(json_flag(&o->json, "one JSON object: machine, rows, kernels"));
  add_model_flags(o->model, c.flags);
  std::erase_if(c.flags, [](const Flag& flag) { return flag.long_name == "explain"; });
  c.examples = {{"naru bench model.gguf", "Depths 0, 512 and 2048, one sequence."},
                {"naru bench model.gguf --depths 512 --batch 1,8 --json", "One sequence, and eight together."}};
  c.run = [o] { return bench_command(*o); };
  return c;
}

}  // namespace

Argument model_argument(std::string* path) {
  return {"MODEL",
          "a model folder (config.json with .safetensors files), a .gguf file, the name of a pulled model, or builtin",
          true, set_model_path(path)};
}

void add_model_flags(ModelOptions& o, std::vector<Flag>& flags) {
  flags.push_back(
      {"compute", "f32|bf16|auto", kGroupNumbers,
       "f32: exact weights and f32 products; bf16: both rounded; auto (default): by the kind of each tensor",
       set_compute(&o.compute)});
  flags.push_back({"cache-dtype", "f32|bf16", kGroupNumbers, "of cached rows; default: follows --compute",
                   set_cache_dtype(&o.cache_dtype)});
  flags.push_back(
      {"latent", "on|off", kGroupNumbers,
       "latent attention with its small cache, or expanded heads (DeepSeek models); default: what the model "
       "says, else on",
       [&o](const Given& given) -> Status {
         NARU_ASSIGN(o.is_latent, parse_switch(given));
         return {};
       }});
  flags.push_back(threads_flag(&o.threads));
  flags.push_back({"prefill-chunk", "N", kGroupMachine, "tokens of the prompt in one pass; default 512",
                   set_count(&o.prefill_chunk, 1, engine::kPrefillChunkMax)});
  flags.push_back(chip_flag(&o.chip));
  flags.push_back({"explain", "", kGroupMachine, "at the end, which kernels ran and how often", set_on(&o.explain)});
}

Flag adapter_flag(ModelOptions& o) {
  return {"adapter",
          "ADAPTER",
          kGroupInput,
          "a LoRA adapter beside the weights, not merged: a folder with adapter_config.json and "
          "adapter_model.safetensors (PEFT's files, or the adapter/ of a run), or the name of a pulled one",
          [&o](const Given& given) -> Status {
            NARU_ASSIGN(o.adapter, find_model_path(given.text));
            return {};
          },
          0,
          false,
          false};
}

Flag json_flag(bool* target, std::string help) {
  return {"json", "", kGroupOutput, std::move(help), set_on(target), 0, false, false};
}

Flag chip_flag(std::string* name) {
  std::string words, help;
  for (const chips::ChipEntry& chip : chips::all_chips()) {
    words += fmt::format("{}{}", words.empty() ? "" : "|", chip.name);
    help += fmt::format("{}{}{}: {}", help.empty() ? "" : "; ", chip.name, help.empty() ? " (default)" : "", chip.what);
  }
  const auto set = [name](const Given& given) -> Status {
    if (!chips::is_chip_name(given.text))
      return bad_value(given, chips::chip_names(), "--chip list shows their devices");
    *name = given.text;
    return {};
  };
  return {.long_name = "chip",
          .value = std::move(words),
          .group = kGroupMachine,
          .help = fmt::format("{}; {}: shows the devices that there are and ends", help, kListWord),
          .set = set,
          .has_list = true};
}

Flag threads_flag(int64_t* n_threads) {
  return {"threads",
          "N",
          kGroupMachine,
          "threads; default: all cores that this process may use",
          set_count(n_threads, 1, kThreadsMax),
          't'};
}

Flag context_flag(ModelOptions& o) {
  return {"context",
          "N",
          kGroupMachine,
          fmt::format("tokens that the cache holds; default: the model's own limit, {}, or what fits the memory",
                      engine::kContextDefaultMax),
          set_count(&o.context, 1, kTokensMax),
          'c'};
}

Flag force_flag(Existing* existing) {
  return {"force",
          "",
          kGroupOutput,
          "replace an output that is there already; else it is refused",
          [existing](const Given&) -> Status {
            *existing = Existing::kReplace;
            return {};
          },
          0,
          false,
          false};
}

std::vector<Command> all_commands() {
  std::vector<Command> commands;
  commands.push_back(make_run());
  commands.push_back(make_serve());
  commands.push_back(make_show());
  commands.push_back(make_logits());
  commands.push_back(make_grads());
  commands.push_back(make_tokenize());
  commands.push_back(make_bench());
  commands.push_back(make_check());
  commands.push_back(make_eval());
  commands.push_back(make_train());
  commands.push_back(make_sample());
  commands.push_back(make_runs());
  commands.push_back(make_data());
  commands.push_back(make_convert());
  commands.push_back(make_pull());
  commands.push_back(make_list());
  commands.push_back(make_rm());
  commands.push_back(make_config());
  commands.push_back(make_doctor());
  commands.push_back(make_completion());
  commands.push_back(make_man());
  return commands;
}

}  // namespace naru::cli
