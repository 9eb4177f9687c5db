// Building a trainable model and making its matrices again from its values.
#include "train/trainable_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "models/families.h"
#include "train/adapters.h"
#include "train/chip_values.h"
#include "train/trainable_state.h"

namespace naru::train {
namespace {

using models::LoadedParameters;

constexpr int64_t kAlignFloats = 16;
constexpr int64_t kAllCols = 1024;  // elementwise ops cut rows over threads

contract::MatrixSource zeros(int64_t groups, int64_t outputs, int64_t inputs) {
  contract::MatrixSource source;
  source.dtype = DType::kF32;
  source.groups = groups;
  source.outputs = outputs;
  source.inputs = inputs;
  source.row = [inputs](int64_t, int64_t, std::byte* scratch) {
    std::fill_n(scratch, static_cast<size_t>(inputs) * 4, std::byte{0});
    return static_cast<const std::byte*>(scratch);
  };
  return source;
}

}  // namespace

Result<ParameterBuffer> ParameterBuffer::create(contract::Chip& chip, const std::vector<models::Parameter>& parameters,
                                                const std::vector<bool>& is_held) {
  ParameterBuffer result;
  int64_t floats = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!is_held[i]) continue;
    floats += round_up(parameters[i].n_elements(), kAlignFloats);
    if (floats > contract::kMeasuredBytesMax / 4) {
      return Error{Code::kResourceExhausted,
                   fmt::format("planning memory: the first {} of {} parameters alone take {} bytes, more than a plan "
                               "counts to (2^50); use a smaller model",
                               i + 1, parameters.size(), 4 * floats)};
    }
  }
  floats = round_up(std::max<int64_t>(floats, 1), kAllCols);
  NARU_ASSIGN(result.buffer_, chip.allocate(floats * 4));
  ChipAddress next = result.buffer_->address();
  result.all_ = make_view(next, DType::kF32, floats / kAllCols, kAllCols);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const models::Parameter& parameter = parameters[i];
    if (!is_held[i]) {
      result.views_.push_back({});
      continue;
    }
    result.views_.push_back(make_view(next, DType::kF32, parameter.rows(), parameter.cols()));
    next += round_up(parameter.n_elements(), kAlignFloats) * 4;
  }
  return result;
}

namespace {

using Names = std::unordered_map<std::string, int64_t>;

int64_t index_of(const Names& index_by_name, const std::string& name) {
  const auto found = index_by_name.find(name);
  NARU_CHECK(found != index_by_name.end(), "no parameter of this name", name);
  return found->second;
}

}  // namespace

void TrainableModel::State::bind(const ParameterBuffer& grads, nn::Bindings& bindings) const {
  for (size_t i = 0; i < loaded.matrices.size(); ++i) {
    const LoadedParameters::Matrix& matrix = loaded.matrices[i];
    nn::MatrixBinding binding{matrix.matrix, transposed[i].get(), {}, matrix.is_transposed};
    for (const LoadedParameters::Rows& rows : matrix.groups) {
      if (grads.holds(rows.parameter)) {
        binding.grads.push_back(grads.view(rows.parameter).slice_rows(rows.row_begin, rows.n_rows));
      }
    }
    bindings.bind(std::move(binding));
  }
  for (const LoadedParameters::Vector& vector : loaded.vectors) {
    bindings.bind_vector(vector.view, grads.view(vector.parameter));
  }
  for (const LoadedAdapter& low : adapters) {
    bindings.bind({low.adapter->a.get(), low.a_transposed.get(), {grads.view(low.a)}, false});
    bindings.bind({low.adapter->b.get(), low.b_transposed.get(), {grads.view(low.a + 1)}, false});
  }
}

Result<GradientBuffer> TrainableModel::make_gradients() const {
  const State& s = *state_;
  NARU_ASSIGN(ParameterBuffer buffer, ParameterBuffer::create(*s.chip, s.parameters, s.is_trained));
  GradientBuffer result(std::move(buffer));
  s.bind(result, result.bindings_);
  return result;
}

TrainableModel::TrainableModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
TrainableModel::TrainableModel(TrainableModel&&) noexcept = default;
TrainableModel& TrainableModel::operator=(TrainableModel&&) noexcept = default;
TrainableModel::~TrainableModel() = default;

const std::vector<models::Parameter>& TrainableModel::parameters() const {
  return state_->parameters;
}
const formats::ModelConfig& TrainableModel::config() const {
  return state_->config;
}
bool TrainableModel::is_trained(int64_t index) const {
  return state_->is_trained[static_cast<size_t>(index)];
}
const std::vector<bool>& TrainableModel::trained() const {
  return state_->is_trained;
}
bool TrainableModel::has_adapters() const {
  return !state_->adapters.empty();
}
const ParameterBuffer& TrainableModel::values() const {
  return state_->values;
}
Result<models::HeldModel> TrainableModel::held() const {
  const State& s = *state_;
  models::HeldModel held{.decoder = s.decoder,
                         .config = s.config,
                         .compute = s.options.compute,
                         .cache_dtype = s.cache_dtype,
                         .is_latent_form = s.options.is_latent_form,
                         .planner = s.chip->planner(),
                         .shape = nullptr};
  NARU_ASSIGN(TrainableModel created, create(*held.planner, s.config, s.options, {}, 0));
  const auto shape = std::make_shared<const TrainableModel>(std::move(created));
  held.shape = {shape, &shape->decoder()};
  return held;
}
const models::Decoder& TrainableModel::decoder() const {
  return state_->decoder;
}
contract::Chip& TrainableModel::chip() const {
  return *state_->chip;
}

std::string TrainableModel::name_of(const contract::PackedMatrix* matrix) const {
  const State& s = *state_;
  const auto name = [&](int64_t parameter) { return s.parameters[static_cast<size_t>(parameter)].name; };
  for (const LoadedParameters::Matrix& one : s.loaded.matrices) {
    if (one.matrix == matrix && !one.groups.empty()) return name(one.groups.front().parameter);
  }
  for (const State::LoadedAdapter& low : s.adapters) {
    if (low.adapter->a.get() == matrix) return name(low.a);
    if (low.adapter->b.get() == matrix) return name(low.a + 1);
  }
  return {};
}

std::pair<int64_t, int64_t> TrainableModel::workspace_peaks() const {
  return {state_->values_memory->peak_bytes(), state_->shadow_memory->peak_bytes()};
}

TrainableModel::MemoryUse TrainableModel::memory() const {
  const State& s = *state_;
  MemoryUse use{.values = s.values.bytes(), .packed = s.packed_bytes, .activations = 0, .cache = s.cache_bytes};
  use.activations = s.room.activation_bytes + s.room.gradient_bytes;
  return use;
}

namespace {

// The values of every parameter onto the chip: those of the model as `read` gives them, drawn ones for adapters.
Status fill_values(contract::Chip& chip, const std::vector<models::Parameter>& parameters, int64_t n_own,
                   const TrainableModel::ReadParameter& read, uint64_t seed, const ParameterBuffer& out) {
  std::vector<float> values;
  for (int64_t i = 0; i < static_cast<int64_t>(parameters.size()); ++i) {
    const models::Parameter& parameter = parameters[static_cast<size_t>(i)];
    values.resize(static_cast<size_t>(parameter.n_elements()));
    if (i < n_own) {
      NARU_TRY(read(i, values.data()));
    } else {
      draw_adapter(parameter, i, seed, values.data());
    }
    NARU_TRY(chip.copy_in(out.view(i).address, values.data(), parameter.n_elements() * 4));
  }
  return {};
}

}  // namespace

Result<TrainableModel> TrainableModel::create(contract::Chip& chip, const formats::ModelConfig& config,
                                              const Options& options, const ReadParameter& read, uint64_t seed) {
  NARU_CHECK(options.compute != contract::ComputeMode::kAuto);
  auto state = std::make_unique<State>();
  State& s = *state;
  s.chip = &chip;
  s.config = config;
  s.options = options;
  s.cache_dtype = options.compute == contract::ComputeMode::kBF16 ? DType::kBF16 : DType::kF32;
  s.parameters = models::list_parameters(config);
  const auto n_own = static_cast<int64_t>(s.parameters.size());
  const bool has_adapters = options.lora.rank > 0;
  for (const models::Parameter& parameter : s.parameters) {
    s.is_trained.push_back(!has_adapters && parameter.use != models::ParameterUse::kRoutingBias);
  }
  if (has_adapters) NARU_TRY(list_adapters(options.lora, s.parameters));
  s.is_trained.resize(s.parameters.size(), true);
  Names index_by_name;
  for (size_t i = 0; i < s.parameters.size(); ++i) index_by_name[s.parameters[i].name] = static_cast<int64_t>(i);
  NARU_ASSIGN(s.values, ParameterBuffer::create(chip, s.parameters, std::vector<bool>(s.parameters.size(), true)));
  if (!chip.info().is_planner) NARU_TRY(fill_values(chip, s.parameters, n_own, read, seed, s.values));
  // The engine's own decoder, by the walk that serves files; refresh() fills it from the values.
  models::WeightLoader loader(config, chip, options.compute, s.loaded);
  NARU_ASSIGN(s.decoder, models::build_decoder(config, loader,
                                               {.is_latent_form = options.is_latent_form, .with_predictions = true}));
  for (const LoadedParameters::Matrix& matrix : s.loaded.matrices) {
    if (options.check) NARU_TRY(options.check());
    const contract::PackedMatrix& m = *matrix.matrix;
    s.packed_bytes += chip.packed_bytes(DType::kF32, m.rule, m.groups, m.outputs, m.inputs);
    s.transposed.push_back(nullptr);
    if (matrix.is_lookup) continue;
    NARU_ASSIGN(s.transposed.back(), chip.pack(zeros(m.groups, m.inputs, m.outputs), m.rule));
    s.packed_bytes += chip.packed_bytes(DType::kF32, m.rule, m.groups, m.inputs, m.outputs);
  }
  const contract::Rule rule = contract::rule_of(DType::kF32, options.compute);
  for (int64_t a = n_own; a < static_cast<int64_t>(s.parameters.size()); a += 2) {
    State::LoadedAdapter low;
    low.parameter = index_of(index_by_name, adapted_name(s.parameters[static_cast<size_t>(a)].name));
    low.a = a;
    const View full = s.values.view(low.parameter);
    const std::string& name = s.parameters[static_cast<size_t>(low.parameter)].name;
    nn::Linear* linear = models::adaptable_linear(s.decoder, config.family, name);
    NARU_CHECK(linear != nullptr, "no layer has the matrix of", name);
    linear->adapter = std::make_unique<nn::Adapter>();
    low.adapter = linear->adapter.get();
    low.adapter->scale = adapter_config(options.lora, s.parameters).scale();
    NARU_ASSIGN(low.adapter->a, chip.pack(zeros(1, options.lora.rank, full.cols), rule));
    NARU_ASSIGN(low.adapter->b, chip.pack(zeros(1, full.rows, options.lora.rank), rule));
    NARU_ASSIGN(low.a_transposed, chip.pack(zeros(1, full.cols, options.lora.rank), rule));
    NARU_ASSIGN(low.b_transposed, chip.pack(zeros(1, options.lora.rank, full.rows), rule));
    s.adapters.push_back(std::move(low));
  }
  TrainableModel model(std::move(state));
  NARU_TRY(model.refresh());
  return model;
}

Status TrainableModel::refresh() {
  State& s = *state_;
  for (size_t i = 0; i < s.loaded.matrices.size(); ++i) {
    if (s.options.check) NARU_TRY(s.options.check());
    const LoadedParameters::Matrix& matrix = s.loaded.matrices[i];
    std::vector<View> groups;
    for (const LoadedParameters::Rows& rows : matrix.groups) {
      groups.push_back(s.values.view(rows.parameter).slice_rows(rows.row_begin, rows.n_rows));
    }
    contract::Pack pack{.groups = groups,
                        .is_transposed = matrix.is_transposed,
                        .is_rounded_first = matrix.is_rounded_first,
                        .out = matrix.matrix};
    NARU_TRY(s.chip->run(pack));
    if (s.transposed[i] == nullptr) continue;
    pack.is_transposed = !matrix.is_transposed;
    pack.out = s.transposed[i].get();
    NARU_TRY(s.chip->run(pack));
  }
  for (const LoadedParameters::Vector& vector : s.loaded.vectors) {
    const View value = s.values.view(vector.parameter);
    if (vector.is_rounded) {
      NARU_TRY(s.chip->run(contract::RoundBF16{.x = value, .out = vector.view}));
    } else {
      NARU_TRY(s.chip->run(contract::Axpby{.x = value, .y = {}, .a = 1, .b = 0, .out = vector.view}));
    }
  }
  for (const State::LoadedAdapter& low : s.adapters) {
    const View a = s.values.view(low.a), b = s.values.view(low.a + 1);
    const auto pack = [&](const View& value, bool is_transposed, contract::PackedMatrix* out) {
      return s.chip->run(
          contract::Pack{.groups = {&value, 1}, .is_transposed = is_transposed, .is_rounded_first = false, .out = out});
    };
    NARU_TRY(pack(a, false, low.adapter->a.get()));
    NARU_TRY(pack(b, false, low.adapter->b.get()));
    NARU_TRY(pack(a, true, low.a_transposed.get()));
    NARU_TRY(pack(b, true, low.b_transposed.get()));
  }
  return {};
}

Status TrainableModel::merged_value(int64_t index, float* out) {
  State& s = *state_;
  const View value = s.values.view(index);
  const auto low = std::find_if(s.adapters.begin(), s.adapters.end(),
                                [&](const State::LoadedAdapter& l) { return l.parameter == index; });
  NARU_TRY(s.chip->wait());
  const auto bring = [&](View view) {
    return for_each_piece(*s.chip, view, [out](std::span<const float> values, int64_t begin) -> Status {
      std::copy(values.begin(), values.end(), out + begin);
      return {};
    });
  };
  if (low == s.adapters.end()) return bring(value);
  NARU_ASSIGN(const auto buffer, s.chip->allocate(value.rows * value.cols * 4));
  const View sum = make_view(buffer->address(), DType::kF32, value.rows, value.cols);
  NARU_TRY(s.chip->run(contract::Product{.a = s.values.view(low->a + 1),
                                         .b = s.values.view(low->a),
                                         .a_transposed = false,
                                         .b_transposed = true,
                                         .rule = contract::Rule::kF32,
                                         .out = sum}));
  NARU_TRY(s.chip->run(contract::Axpby{.x = sum, .y = value, .a = low->adapter->scale, .b = 1, .out = sum}));
  NARU_TRY(s.chip->wait());
  return bring(sum);
}

}  // namespace naru::train
