#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/engine_state.h"
#include "engine/model_tokenizer.h"
#include "formats/gguf.h"

namespace naru::engine {

Result<formats::TokenizerData> read_tokenizer(const models::ModelFiles& files) {
  const bool is_in_folder = formats::has_tokenizer(files.tensors.folder());
  if (files.tensors.gguf() != nullptr) {
    auto data = formats::tokenizer_from_gguf(*files.tensors.gguf());
    if (data.ok() || data.error().code != Code::kNotFound || !is_in_folder) return data;
  }
  return formats::read_tokenizer_folder(files.tensors.folder());
}

namespace {

// A model without a tokenizer is a model: what is wrong is kept for whoever needs one.
void open_tokenizer(const models::ModelFiles& files, const EngineOptions& options, EngineState& state) {
  auto data = read_tokenizer(files);
  if (!data.ok()) {
    state.tokenizer_status = std::move(data).error();
  } else {
    state.tokenizer_status = formats::leave_out_foreign_tokens(*data, state.model.config.vocab);
  }
  if (state.tokenizer_status.ok()) {
    if (options.chat_template) text::replace_chat_template(*data, *options.chat_template);
    auto made = text::ChatTokenizer::create(std::move(data).value());
    if (made.ok()) {
      state.text = std::move(made).value();
    } else {
      state.tokenizer_status = std::move(made).error();
    }
  }
  state.template_status = state.text ? state.text->template_status : state.tokenizer_status;
  if (!state.text) return;
  state.tokenizer = &state.text->tokenizer;
  if (state.text->chat_template) state.chat_template = &*state.text->chat_template;
}

std::vector<int32_t> find_eos_ids(const EngineState& state) {
  std::vector<int32_t> ids = state.model.config.eos_ids;
  const auto& advised = state.generation_config.eos_ids;
  ids.insert(ids.end(), advised.begin(), advised.end());
  if (state.tokenizer != nullptr) {
    const std::vector<int32_t>& ends = state.tokenizer->end_ids();
    ids.insert(ids.end(), ends.begin(), ends.end());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  const int64_t vocab = state.decoder->vocab;
  ids.erase(std::remove_if(ids.begin(), ids.end(), [&](int32_t id) { return id < 0 || id >= vocab; }), ids.end());
  return ids;
}

// Cache and workspace, as planned; and what ends an answer.
Status make_rooms(EngineState& state, bool share_prefixes) {
  const auto shapes = state.decoder->layer_cache_shapes(state.model.cache_dtype);
  NARU_ASSIGN(state.pool, CachePool::create(state.chip, shapes, state.memory.n_pages));
  NARU_ASSIGN(state.workspace, nn::Workspace::create(state.chip, state.memory.arena_bytes));
  if (share_prefixes) state.prefixes.emplace(*state.pool);
  state.eos_ids = find_eos_ids(state);
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(const std::filesystem::path& path, const EngineOptions& options,
                                             contract::Chip& chip) {
  NARU_ASSIGN(auto files, models::open_model_files(path));
  return open(std::move(files), options, chip);
}

Result<std::unique_ptr<Engine>> Engine::open(models::ModelFiles files, const EngineOptions& options,
                                             contract::Chip& chip) {
  auto state = std::make_unique<EngineState>(chip);
  NARU_ASSIGN(state->model, models::plan_model(files, chip, options.load));
  NARU_ASSIGN(state->memory, plan_memory(state->model, options.memory));
  NARU_ASSIGN(state->generation_config, formats::generation_config_of(files.tensors));
  open_tokenizer(files, options, *state);
  NARU_ASSIGN(models::Decoder decoder, models::load_model(files, state->model, chip, options.progress));
  state->decoder = std::make_shared<const models::Decoder>(std::move(decoder));
  NARU_TRY(make_rooms(*state, options.share_prefixes));
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

Result<std::unique_ptr<Engine>> Engine::open(const BorrowedModel& model, const BorrowOptions& options,
                                             contract::Chip& chip) {
  auto state = std::make_unique<EngineState>(chip);
  state->model = models::plan_held_model(model.model);
  NARU_ASSIGN(state->memory, plan_memory(state->model, options.memory));
  state->decoder = {std::shared_ptr<const models::Decoder>(), &model.model.decoder};  // not owned
  state->tokenizer = model.tokenizer;
  state->chat_template = model.chat_template;
  const auto absent = [](std::string_view what) {
    return Error{Code::kNotFound,
                 fmt::format("opening a borrowed model: it was lent without a {0}; lend the {0} too", what)};
  };
  if (model.tokenizer == nullptr) state->tokenizer_status = absent("tokenizer");
  if (model.chat_template == nullptr) state->template_status = absent("chat template");
  NARU_TRY(make_rooms(*state, options.share_prefixes));
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

Engine::Engine(std::unique_ptr<EngineState> state) : state_(std::move(state)) {}

Engine::~Engine() {
  NARU_CHECK(state_->n_sessions == 0, "sessions or snapshots outlive their engine:", state_->n_sessions);
}

const models::ModelPlan& Engine::model() const {
  return state_->model;
}
const MemoryPlan& Engine::memory() const {
  return state_->memory;
}
contract::Chip& Engine::chip() const {
  return state_->chip;
}
int64_t Engine::vocab() const {
  return state_->decoder->vocab;
}
bool Engine::shares_prefixes() const {
  return state_->prefixes.has_value();
}
const text::Tokenizer* Engine::tokenizer() const {
  return state_->tokenizer;
}
const Status& Engine::tokenizer_status() const {
  return state_->tokenizer_status;
}
const text::ChatTemplate* Engine::chat_template() const {
  return state_->chat_template;
}
const Status& Engine::template_status() const {
  return state_->template_status;
}
const formats::GenerationConfig& Engine::generation_config() const {
  return state_->generation_config;
}
const std::vector<int32_t>& Engine::eos_ids() const {
  return state_->eos_ids;
}

std::unique_ptr<Session> Engine::new_session(uint64_t cache_scope) {
  ++state_->n_sessions;
  return std::unique_ptr<Session>(new Session(state_.get(), cache_scope));
}

int64_t Engine::pages_needed(const Session& session, int64_t n_tokens) const {
  return state_->pages_needed(session, n_tokens);
}

EngineStats Engine::stats() const {
  EngineStats stats = state_->stats;
  stats.n_pages_total = state_->pool->n_pages();
  stats.n_pages_free = state_->pool->n_free();
  stats.n_pages_cached = state_->pool->n_cached();
  stats.n_evictions = state_->prefixes ? state_->prefixes->n_evictions() : 0;
  return stats;
}

void Engine::drop_prefix_cache() {
  while (state_->prefixes && state_->prefixes->evict_one()) {
  }
}

void Engine::weights_changed() {
  NARU_CHECK(state_->n_sessions == 0, "sessions or snapshots of the old weights:", state_->n_sessions);
  drop_prefix_cache();
}

void Engine::shuffle_free_pages(uint64_t seed) {
  state_->pool->shuffle_free(seed);
}

}  // namespace naru::engine
