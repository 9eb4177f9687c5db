// The list of parameters: read from every container and layout, then built back into a model, they give the same bits
// as the file itself. What is drawn is normal and does not change.
#include "models/parameters.h"

#include <cmath>
#include <set>

#include "chips/reference/reference_chip.h"
#include "formats/safetensors_writer.h"
#include "tests/models/harness.h"

namespace naru::models {
namespace {

// The values of all parameters of a checkpoint and the files that they are.
struct Taken {
  formats::ModelConfig config;
  std::vector<Parameter> parameters;
  std::vector<std::vector<float>> values;

  int64_t n_elements() const {
    int64_t sum = 0;
    for (const Parameter& parameter : parameters) sum += parameter.n_elements();
    return sum;
  }
};

// The values as one file, in f32.
class Written {
 public:
  explicit Written(const Taken& taken) {
    std::string pattern = (std::filesystem::temp_directory_path() / "naru-parameters-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    formats::SafetensorsWriter writer;
    for (const Parameter& parameter : taken.parameters) {
      EXPECT_TRUE(writer.add_tensor(parameter.name, DType::kF32, parameter.shape).ok());
    }
    EXPECT_TRUE(writer.begin(folder_ / "model.safetensors").ok());
    for (const std::vector<float>& values : taken.values) {
      EXPECT_TRUE(writer.write(std::as_bytes(std::span(values))).ok());
    }
    EXPECT_TRUE(writer.finish().ok());
  }
  ~Written() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Written(const Written&) = delete;
  Written& operator=(const Written&) = delete;

  formats::TensorFiles open() const { return formats::TensorFiles::open(folder_).value(); }

 private:
  std::filesystem::path folder_;
};

Taken take(const std::filesystem::path& path) {
  const auto files = open_model_files(path);
  EXPECT_TRUE(files.ok()) << (files.ok() ? "" : files.error().message);
  auto plain = plain_config(files->tensors, files->config);
  EXPECT_TRUE(plain.ok());
  Taken taken{*plain, list_parameters(*plain), {}};
  for (const Parameter& parameter : taken.parameters) {
    taken.values.emplace_back(static_cast<size_t>(parameter.n_elements()), std::nanf(""));
    const Status status = read_parameter(files->tensors, files->config, parameter, taken.values.back().data());
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  return taken;
}

std::vector<std::string> readable_fixtures() {
  std::vector<std::string> names = fixture_names();
  std::erase_if(names, [](const std::string& name) { return !std::filesystem::exists(fixture_model(name)); });
  return names;
}

class ParameterFixtures : public ::testing::TestWithParam<std::string> {};

TEST_P(ParameterFixtures, ReadAndBuiltBackGiveTheSameBits) {
  const Taken taken = take(fixture_model(GetParam()));
  const Written written(taken);
  const auto chip = reference::make_reference_chip();
  auto ids = read_json(fixture_folder(GetParam()) / "ids.json").get<std::vector<int32_t>>();
  ids.resize(std::min<size_t>(ids.size(), 24));
  for (const bool is_latent : {true, false}) {
    const LoadOptions options{.compute = contract::ComputeMode::kF32, .cache_dtype = {}, .is_latent_form = is_latent};
    Runner from_file(fixture_model(GetParam()), *chip, options);
    Runner from_values({"the values", written.open(), taken.config}, *chip, options);
    ASSERT_TRUE(from_file.is_ready() && from_values.is_ready());
    EXPECT_TRUE(from_values.plan().unused_tensors.empty());
    EXPECT_EQ(from_values.plan().n_parameters, taken.n_elements()) << "each tensor counts once";
    EXPECT_EQ(first_difference(from_file.logits(ids, 24), from_values.logits(ids, 24)), -1);
    if (!taken.config.is_mla()) break;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ParameterFixtures, ::testing::ValuesIn(readable_fixtures()),
                         [](const auto& fixture) {
                           std::string name = fixture.param;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           return name;
                         });

TEST(Tables, EveryNameMeansOneRow) {
  for (const formats::Family family : formats::families()) {
    std::set<std::string_view> hugging_face, gguf;
    for (const TensorRow& row : tensors_of(family)) {
      EXPECT_EQ(&row_of(family, row.role), &row);
      EXPECT_TRUE(row.gguf.empty() || gguf.insert(row.gguf).second) << row.gguf;
      if (row.hugging_face.empty()) continue;
      EXPECT_TRUE(hugging_face.insert(row.hugging_face).second) << row.hugging_face;
      const auto place = place_of(family, tensor_name(family, row.role, false, 3, 12));
      ASSERT_TRUE(place.has_value()) << row.hugging_face;
      EXPECT_EQ(place->role, row.role) << row.hugging_face;
    }
  }
}

TEST(Parameters, TheListSaysWhatEachIs) {
  for (const char* const name : {"v3-f32", "llama-gqa"}) {
    const auto config = open_model_files(fixture_model(name)).value().config;
    for (const Parameter& parameter : list_parameters(config)) {
      EXPECT_EQ(parameter.use == ParameterUse::kResidual,
                parameter.name.ends_with(".o_proj.weight") || parameter.name.ends_with(".down_proj.weight"))
          << parameter.name;
      EXPECT_EQ(parameter.is_expert(), parameter.name.find(".experts.") != std::string::npos) << parameter.name;
      EXPECT_EQ(parameter.shape.size() == 1, parameter.use == ParameterUse::kNorm ||
                                                 parameter.use == ParameterUse::kBias ||
                                                 parameter.use == ParameterUse::kRoutingBias)
          << parameter.name;
    }
  }
}

TEST(Parameters, TheListIsInTheModelsOrderAndNamesNothingTwice) {
  const auto files = open_model_files(fixture_model("v3-f32")).value();
  const auto list = list_parameters(files.config);
  EXPECT_EQ(list.front().name, "model.embed_tokens.weight");
  EXPECT_EQ(list.back().name, "lm_head.weight");
  std::set<std::string> names;
  for (const Parameter& parameter : list) EXPECT_TRUE(names.insert(parameter.name).second) << parameter.name;
  EXPECT_TRUE(names.contains("model.layers.1.mlp.experts.0.gate_proj.weight"));
  EXPECT_TRUE(names.contains("model.layers.1.mlp.gate.e_score_correction_bias"));
}

TEST(Parameters, AMissingOrMisshapenTensorIsNamed) {
  Taken taken = take(fixture_model("llama-gqa"));
  std::vector<float> out(1 << 20);
  const auto message = [&](const Parameter& wanted) {
    const Status status = read_parameter(Written(taken).open(), taken.config, wanted, out.data());
    return status.ok() ? std::string() : status.error().message;
  };
  Parameter wanted = taken.parameters[2];
  wanted.shape[0] += 1;
  EXPECT_NE(message(wanted).find("config and weights are of different models"), std::string::npos);
  wanted = taken.parameters[2];
  taken.parameters[2].name = "model.layers.0.other.weight";
  EXPECT_NE(message(wanted).find("it has no tensor '" + wanted.name), std::string::npos);
}

TEST(Parameters, DrawsAreNormalAndByCounter) {
  const auto config = open_model_files(fixture_model("v3-f32")).value().config;
  Parameter wide{"model.embed_tokens.weight", {1000, 401}, ParameterUse::kEmbedding};
  std::vector<float> values(static_cast<size_t>(wide.n_elements()));
  draw_parameter(config, wide, 0, 7, 0.5, values.data());
  double sum = 0, squares = 0, fourth = 0, beyond = 0;
  for (const double value : values) {
    const double z = value / 0.5;
    sum += z, squares += z * z, fourth += z * z * z * z, beyond += std::fabs(z) > 1.959964 ? 1 : 0;
  }
  const auto n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));  // five deviations of each estimate
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n, 3, 5 * std::sqrt(96 / n));
  EXPECT_NEAR(beyond / n, 0.05, 5 * std::sqrt(0.05 * 0.95 / n));

  // A shorter tensor draws a prefix; another index or seed draws other numbers; outputs to the residual are smaller.
  Parameter narrow{"model.layers.0.self_attn.o_proj.weight", {3, 7}, ParameterUse::kResidual};
  std::vector<float> drawn(21), other(21);
  draw_parameter(config, narrow, 0, 7, 0.5, drawn.data());
  const double shrink = std::sqrt(2.0 * static_cast<double>(config.layers));
  for (size_t i = 0; i < drawn.size(); ++i) EXPECT_NEAR(drawn[i] * shrink, values[i], 1e-6);
  draw_parameter(config, narrow, 1, 7, 0.5, other.data());
  EXPECT_NE(drawn, other);
  draw_parameter(config, narrow, 0, 8, 0.5, other.data());
  EXPECT_NE(drawn, other);
  draw_parameter(config, {"model.norm.weight", {21}, ParameterUse::kNorm}, 0, 7, 0.5, other.data());
  EXPECT_EQ(other, std::vector<float>(21, 1.0f));
  draw_parameter(config, {"b", {21}, ParameterUse::kRoutingBias}, 0, 7, 0.5, other.data());
  EXPECT_EQ(other, std::vector<float>(21, 0.0f));
}

TEST(Parameters, DrawnBitsAreTheseOnEveryMachine) {
  const auto config = open_model_files(fixture_model("v3-f32")).value().config;
  const Parameter parameter{"model.embed_tokens.weight", {2, 2}, ParameterUse::kEmbedding};
  std::vector<float> values(4);
  draw_parameter(config, parameter, 3, 1234, 0.02, values.data());
  EXPECT_EQ(values, (std::vector<float>{-0x1.4753540000000p-8f, 0x1.9696760000000p-7f, -0x1.30bec20000000p-6f,
                                        -0x1.a384040000000p-7f}));
}

}  // namespace
}  // namespace naru::models
