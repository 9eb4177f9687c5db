#include "train/teacher.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "base/file.h"
#include "base/file_digest.h"
#include "formats/utf8.h"
#include "models/families.h"
#include "train/document_pages.h"

namespace naru::train {
namespace {

namespace fs = std::filesystem;

Error of_teacher(const std::string& name, Error error) {
  error.message = fmt::format("teacher {}: {}", name, error.message);
  return error;
}

// Both must speak of the same tokens: logits are compared id by id.
Status check_alike(const std::string& name, const formats::ModelConfig& config, const text::Tokenizer& tokenizer,
                   const TrainingModelFiles& student) {
  constexpr std::string_view kOtherStudent =
      "only a model of the student's own vocabulary can teach it: choose another, or a student that has this "
      "teacher's tokenizer";
  const int64_t vocab = student.config.vocab;
  if (config.vocab != vocab) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("opening teacher {}: its vocabulary has {} ids, the student's {}, the same were wanted; {}", name,
                    config.vocab, vocab, kOtherStudent)};
  }
  for (int32_t id = 0; id < vocab; ++id) {
    const std::string_view own = tokenizer.piece(id), wanted = student.tokenizer->piece(id);
    if (own == wanted) continue;
    return Error{Code::kInvalidArgument,
                 fmt::format("opening teacher {}: both vocabularies have {} ids, and id {} is '{}' of the teacher and "
                             "'{}' of the student, the same tokens were wanted; {}",
                             name, vocab, id, formats::printable(own), formats::printable(wanted), kOtherStudent)};
  }
  return {};
}

Status check_context(const std::string& name, const formats::ModelConfig& config, int64_t context) {
  if (config.max_positions <= 0 || context <= config.max_positions) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("opening teacher {}: it was made for {} tokens, and batch.context is {}, no more than the "
                           "teacher reads was wanted; lower batch.context",
                           name, config.max_positions, context)};
}

// All that decides what it says: its weights, and the config beside them.
Result<std::vector<data::DataFile>> digests_of(const std::string& name, models::ModelFiles& files,
                                               const std::function<bool()>& should_stop) {
  std::vector<data::DataFile> digests;
  NARU_ASSIGN(const auto found,
              files.tensors.digests([&](int64_t, int64_t) { return !should_stop || !should_stop(); }));
  for (const formats::FileDigest& file : found) {
    digests.push_back({fmt::format("teacher {}/{}", name, file.name), file.bytes, file.sha256});
  }
  const fs::path config = files.tensors.folder() / "config.json";
  std::error_code ignored;
  if (files.tensors.gguf() != nullptr || !fs::exists(config, ignored)) return digests;
  NARU_ASSIGN(const FileContent content, digest_file(config, should_stop));
  digests.push_back({fmt::format("teacher {}/config.json", name), content.bytes, content.sha256});
  return digests;
}

// Of a config alone, whose weights will be f32.
Result<models::ModelPlan> plan_of_config(const fs::path& path, const contract::Chip& chip) {
  models::ModelPlan plan;
  NARU_ASSIGN(const std::string text, read_file(path, formats::kConfigBytesMax));
  NARU_ASSIGN(plan.config, formats::parse_model_config(std::as_bytes(std::span(text)), path.filename().string()));
  plan.config.mtp_layers = 0;
  plan.planner = chip.planner();
  plan.compute = contract::ComputeMode::kF32;
  plan.cache_dtype = DType::kF32;
  plan.is_latent_form = plan.config.attention_form != formats::AttentionForm::kExpanded;
  models::LoadedParameters loaded;
  models::WeightLoader loader(plan.config, *plan.planner, plan.compute, loaded);
  NARU_ASSIGN(models::Decoder shape,
              models::build_decoder(plan.config, loader, {.is_latent_form = plan.is_latent_form}));
  plan.weight_bytes = loader.chip_bytes();
  plan.n_parameters = models::all_parameters(loader.parameters());
  plan.n_active_parameters = models::active_parameters(plan.config, loader.parameters());
  plan.shape = std::make_shared<const models::Decoder>(std::move(shape));
  return plan;
}

// Of each layer by itself; they take their turns in the same memory.
int64_t cache_bytes_max(const contract::Chip& chip, const std::vector<nn::LayerCacheShape>& shapes, int64_t n_pages) {
  int64_t most = 1;
  for (const nn::LayerCacheShape& shape : shapes) {
    int64_t bytes = 0;
    for (const nn::StreamShape& stream : shape) {
      bytes += round_up(chip.cache_page_bytes(stream.shape) * n_pages, int64_t{64});
    }
    most = std::max(most, bytes);
  }
  return most;
}

Result<View> run_layers(const models::Decoder& decoder, contract::Chip& chip, nn::Workspace& workspace,
                        std::span<const nn::LayerCache> cache, const data::MicroBatch& batch) {
  const DocumentPages documents(batch);
  const models::Batch rows{
      .ids = batch.ids, .positions = batch.positions, .sequences = documents.rows(), .logit_rows = {}};
  NARU_ASSIGN(const models::Decoder::Output output, decoder.forward(chip, workspace, rows, cache));
  return output.state;
}

// What it takes of the workspace stays taken.
Result<View> run_head(const models::Decoder& decoder, contract::Chip& chip, nn::Workspace& workspace, View state,
                      int64_t begin, int64_t n) {
  nn::Context ctx{.chip = chip, .workspace = workspace, .sequences = nullptr, .n_rows = n, .cos = {}, .sin = {}};
  const View normed = workspace.take(n, decoder.width);
  const View logits = workspace.take(n, decoder.vocab);
  NARU_TRY(nn::rms_norm(ctx, decoder.final_norm, state.slice_rows(begin, n), normed));
  NARU_TRY(nn::matmul(ctx, decoder.head, normed, logits));
  return logits;
}

}  // namespace

Result<Teacher> Teacher::open(const recipes::TeacherRecipe& recipe, const fs::path& recipe_folder, int64_t context,
                              const TrainingModelFiles& student, const contract::Chip& chip) {
  if (!recipe.planned_config.empty()) {
    Teacher teacher;
    teacher.name_ = recipe.path;
    teacher.weight_ = recipe.weight;
    NARU_ASSIGN(teacher.plan_, plan_of_config(recipe.planned_config, chip));
    auto planned = open_tokenizer(recipe.planned_tokenizer, teacher.plan_.config.vocab);
    if (!planned.ok()) return of_teacher(recipe.path, planned.error());
    NARU_TRY(check_alike(recipe.path, teacher.plan_.config, *planned, student));
    NARU_TRY(check_context(recipe.path, teacher.plan_.config, context));
    return teacher;
  }
  const fs::path place = recipes::teacher_place(recipe, recipe_folder);
  auto files = models::open_model_files(place);
  if (!files.ok()) return of_teacher(recipe.path, files.error());
  auto tokenizer = open_tokenizer(place, files->config.vocab);
  if (!tokenizer.ok()) return of_teacher(recipe.path, tokenizer.error());
  NARU_TRY(check_alike(recipe.path, files->config, *tokenizer, student));
  NARU_TRY(check_context(recipe.path, files->config, context));
  return of_files(recipe.path, recipe.weight, std::move(*files), chip);
}

Result<Teacher> Teacher::of_files(std::string name, double weight, models::ModelFiles files,
                                  const contract::Chip& chip) {
  Teacher teacher;
  teacher.name_ = std::move(name);
  teacher.weight_ = weight;
  auto plan = models::plan_model(files, chip, {});
  if (!plan.ok()) return of_teacher(teacher.name_, plan.error());
  teacher.plan_ = std::move(*plan);
  teacher.files_ = std::move(files);
  return teacher;
}

Status Teacher::hash_files(const std::function<bool()>& should_stop) {
  if (!files_) return {};
  auto digests = digests_of(name_, *files_, should_stop);
  if (!digests.ok()) return of_teacher(name_, digests.error());
  digests_ = std::move(*digests);
  return {};
}

Result<TeacherMemory> Teacher::memory(int64_t n_rows, int64_t n_documents) const {
  contract::Chip& planner = *plan_.planner;
  const models::Decoder& shape = *plan_.shape;
  const std::vector<nn::LayerCacheShape> cache_shapes = shape.layer_cache_shapes(plan_.cache_dtype);
  NARU_ASSIGN(nn::Workspace workspace, nn::Workspace::measuring(planner));
  NARU_ASSIGN(const auto page, planner.allocate(1));  // every page of every layer: nothing is written
  std::vector<nn::LayerCache> cache;
  for (const nn::LayerCacheShape& of : cache_shapes) {
    NARU_ASSIGN(cache.emplace_back(), nn::LayerCache::create_on(of, page->address()));
  }
  NARU_ASSIGN(const View state, run_layers(shape, planner, workspace, cache, planned_batch(n_rows, n_documents)));
  NARU_TRY(run_head(shape, planner, workspace, state, 0, std::min(kHeadRows, n_rows)));
  NARU_TRY(workspace.within_bounds());
  return TeacherMemory{
      .weights = plan_.weight_bytes,
      .activations = workspace.peak_bytes() + cache_bytes_max(planner, cache_shapes, pages_max(n_rows, n_documents)),
      .scratch = planner.memory().scratch};
}

Status Teacher::load(contract::Chip& chip, const std::function<Status()>& check) {
  NARU_CHECK(files_.has_value(), "a teacher to plan with has no weights");
  chip_ = &chip;
  Status wanted;
  auto loaded = models::load_model(*files_, plan_, chip, [&](int64_t, int64_t) {
    wanted = check();
    return wanted.ok();
  });
  NARU_TRY(wanted);
  if (!loaded.ok()) return of_teacher(name_, loaded.error());
  decoder_ = std::move(*loaded);
  return {};
}

Status Teacher::reserve(int64_t n_rows, int64_t n_documents) {
  // What there was is given back first: a chip may not hold both.
  workspace_.reset();
  cache_.clear();
  cache_memory_.reset();
  NARU_ASSIGN(const TeacherMemory needed, memory(n_rows, n_documents));
  const std::vector<nn::LayerCacheShape> shapes = decoder_.layer_cache_shapes(plan_.cache_dtype);
  const int64_t n_pages = pages_max(n_rows, n_documents), cache_bytes = cache_bytes_max(*chip_, shapes, n_pages);
  NARU_ASSIGN(nn::Workspace workspace, nn::Workspace::create(*chip_, needed.activations - cache_bytes));
  workspace_ = std::make_unique<nn::Workspace>(std::move(workspace));
  NARU_ASSIGN(cache_memory_, chip_->allocate(cache_bytes));
  for (const nn::LayerCacheShape& shape : shapes) {
    ChipAddress next = cache_memory_->address();
    NARU_ASSIGN(cache_.emplace_back(),
                nn::LayerCache::create(shape, [&](const contract::CacheShape& of) -> Result<contract::CacheStream> {
                  const contract::CacheStream stream{of, next, chip_->cache_page_bytes(of)};
                  next += round_up(stream.page_bytes * n_pages, int64_t{64});
                  return stream;
                }));
  }
  return {};
}

Status Teacher::read(const data::MicroBatch& batch) {
  workspace_->release(0);
  auto state = run_layers(decoder_, *chip_, *workspace_, cache_, batch);
  if (!state.ok()) return of_teacher(name_, state.error());
  state_ = *state;
  return {};
}

Result<View> Teacher::logits(int64_t begin, int64_t n) {
  const nn::WorkspaceScope scope(*workspace_);
  auto logits = run_head(decoder_, *chip_, *workspace_, state_, begin, n);
  if (!logits.ok()) return of_teacher(name_, logits.error());
  return *logits;
}

}  // namespace naru::train
