// Files that say a little more or less than a model needs: heads beside a tied config, tensors of kinds that are not
// read. Each gives the bits of the plain file, or is refused by name.
#include <cstring>

#include "chips/reference/reference_chip.h"
#include "formats/ggml_blocks.h"
#include "models/parameters.h"
#include "tests/models/harness.h"

namespace naru::models {
namespace {

using nlohmann::json;

// A Hugging Face folder to change: its config, and its tensors in f32, as the header and the bytes say them.
struct Variant {
  struct Tensor {
    std::string name, dtype;
    std::vector<int64_t> shape;
    std::string bytes;
  };
  std::filesystem::path folder;
  json config;
  std::vector<Tensor> tensors;

  explicit Variant(const std::string& fixture) : config(read_json(fixture_folder(fixture) / "hf" / "config.json")) {
    std::string pattern = (std::filesystem::temp_directory_path() / "naru-variant-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    const auto files = formats::TensorFiles::open(fixture_folder(fixture) / "hf").value();
    for (const formats::TensorEntry& entry : files.entries()) {
      std::vector<float> values(static_cast<size_t>(entry.n_elements()));
      formats::dequantise_row(entry.dtype, files.bytes(entry).data(), entry.n_elements(), values.data());
      tensors.push_back({entry.name, "F32", entry.shape, std::string(as_text(std::as_bytes(std::span(values))))});
    }
  }
  ~Variant() {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
  Variant(const Variant&) = delete;
  Variant& operator=(const Variant&) = delete;

  Tensor& at(const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t.name == name; });
  }
  void add(const std::string& name, const Tensor& like) {
    Tensor tensor = like;
    tensor.name = name;
    tensors.push_back(tensor);
  }
  const std::filesystem::path& write() const {
    std::ofstream(folder / "config.json") << config.dump();
    json header;
    std::string data;
    for (const Tensor& tensor : tensors) {
      header[tensor.name] = {{"dtype", tensor.dtype},
                             {"shape", tensor.shape},
                             {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
      data += tensor.bytes;
    }
    const std::string text = header.dump();
    const uint64_t size = text.size();
    std::ofstream(folder / "model.safetensors", std::ios::binary)
        .write(reinterpret_cast<const char*>(&size), 8)
        .write(text.data(), static_cast<std::streamsize>(text.size()))
        .write(data.data(), static_cast<std::streamsize>(data.size()));
    return folder;
  }
};

constexpr const char* kTied = "llama-tied-llama3";
constexpr const char* kTable = "model.embed_tokens.weight";
constexpr const char* kHeadName = "lm_head.weight";

// What a model gives: logits of a few ids in f32, its numerics, and the notes on its files.
struct Given {
  Matrix logits;
  std::string numerics_id;
  std::vector<std::string> notes, unused, parameters;
  bool is_tied = false;
};

Given given(const std::filesystem::path& path) {
  const auto chip = reference::make_reference_chip();
  const auto files = open_model_files(path);
  EXPECT_TRUE(files.ok()) << (files.ok() ? "" : files.error().message);
  if (!files.ok()) return {};
  Runner runner(*files, *chip, {});
  EXPECT_TRUE(runner.is_ready());
  Given result;
  result.logits = runner.logits({1, 5, 7, 2, 9}, 5);
  result.numerics_id = runner.plan().numerics_id;
  result.notes = files->notes;
  result.unused = runner.plan().unused_tensors;
  result.is_tied = files->config.tie_embeddings;
  std::vector<float> out(1 << 20);
  for (const Parameter& parameter : list_parameters(*plain_config(files->tensors, files->config))) {
    result.parameters.push_back(parameter.name);
    EXPECT_TRUE(read_parameter(files->tensors, files->config, parameter, out.data()).ok()) << parameter.name;
  }
  return result;
}

std::string refusal(const std::filesystem::path& path) {
  const auto chip = reference::make_reference_chip();
  const auto files = open_model_files(path);
  if (!files.ok()) return files.error().message;
  const auto plan = plan_model(*files, *chip, {});
  if (plan.ok()) return "";
  EXPECT_EQ(code_name(plan.error().code), code_name(Code::kUnsupported)) << plan.error().message;
  return plan.error().message;
}

// transformers 5.24 ties where both tensors are equal, and not where they differ, with a warning.
TEST(TiedHeads, AnotherHeadInTheFileIsTheModelsHead) {
  Variant variant(kTied);
  variant.add(kHeadName, variant.at(kTable));
  float value = 0;
  std::string& bytes = variant.at(kHeadName).bytes;
  std::memcpy(&value, bytes.data() + bytes.size() - 4, 4);
  value += 1;
  std::memcpy(bytes.data() + bytes.size() - 4, &value, 4);
  const Given both = given(variant.write());
  EXPECT_FALSE(both.is_tied);
  ASSERT_EQ(both.notes.size(), 1u);
  EXPECT_NE(both.notes[0].find("lm_head.weight has other values than model.embed_tokens.weight"), std::string::npos);
  EXPECT_EQ(both.parameters.back(), kHeadName);
  variant.config["tie_word_embeddings"] = false;
  const Given untied = given(variant.write());
  EXPECT_TRUE(untied.notes.empty());
  EXPECT_EQ(first_difference(both.logits, untied.logits), -1);
  EXPECT_EQ(both.numerics_id, untied.numerics_id);
  EXPECT_NE(first_difference(both.logits, given(Variant(kTied).write()).logits), -1);
}

TEST(TiedHeads, AnEqualHeadOrOneAloneIsTheTable) {
  const Given plain = given(Variant(kTied).write());
  EXPECT_TRUE(plain.is_tied && plain.notes.empty());
  Variant variant(kTied);
  variant.add(kHeadName, variant.at(kTable));
  const Given equal = given(variant.write());
  EXPECT_TRUE(equal.is_tied && equal.notes.empty());
  EXPECT_EQ(first_difference(equal.logits, plain.logits), -1);
  EXPECT_EQ(equal.parameters, plain.parameters);
  // In wider numbers of the same values too.
  std::string wide;
  for (size_t i = 0; i < variant.at(kTable).bytes.size(); i += 4) {
    float value = 0;
    std::memcpy(&value, variant.at(kTable).bytes.data() + i, 4);
    const double same = value;
    wide.append(reinterpret_cast<const char*>(&same), 8);
  }
  variant.at(kHeadName).dtype = "F64";
  variant.at(kHeadName).bytes = wide;
  EXPECT_TRUE(given(variant.write()).is_tied);
  // The official classes take the head for the table where only it is there.
  Variant alone(kTied);
  alone.at(kTable).name = kHeadName;
  const Given head = given(alone.write());
  EXPECT_TRUE(head.is_tied && head.notes.empty());
  EXPECT_EQ(first_difference(head.logits, plain.logits), -1);
  EXPECT_EQ(head.parameters, plain.parameters);
  // A head of another shape is no head of this model.
  variant.at(kHeadName).shape[0] -= 1;
  variant.at(kHeadName).bytes.resize(wide.size() - 8 * static_cast<size_t>(variant.at(kHeadName).shape[1]));
  EXPECT_NE(refusal(variant.write()).find("'lm_head.weight' has the shape"), std::string::npos);
}

TEST(UnreadKinds, UnusedTensorsRefuseNoFileAndChangeNoBit) {
  const Given plain = given(Variant(kTied).write());
  EXPECT_NE(plain.numerics_id.find("cache-f32"), std::string::npos);
  Variant variant(kTied);
  const std::pair<const char*, int64_t> kinds[] = {
      {"I64", 8}, {"BOOL", 1}, {"U8", 1},  {"F8_E8M0", 1}, {"F8_E5M2", 1}, {"I16", 2},     {"U16", 2},  {"U32", 4},
      {"U64", 8}, {"C64", 8},  {"F16", 2}, {"F64", 8},     {"I32", 4},     {"F8_E4M3", 1}, {"BF16", 2}, {"I8", 1}};
  for (const auto& [kind, bytes] : kinds) {
    variant.tensors.push_back(
        {std::string("odd.") + kind, kind, {3, 1}, std::string(static_cast<size_t>(3 * bytes), 0)});
  }
  variant.tensors.push_back({"odd.F4", "F4", {4}, "ab"});
  variant.tensors.push_back({"odd.none", "C64", {0, 3}, ""});
  variant.tensors.push_back({"odd.scalar", "F8_E8M0", {}, "a"});
  const Given more = given(variant.write());
  EXPECT_EQ(first_difference(more.logits, plain.logits), -1);
  EXPECT_EQ(more.numerics_id, plain.numerics_id);
  EXPECT_EQ(more.unused.size(), std::size(kinds) + 3);
}

TEST(UnreadKinds, UsedTensorsAreRefusedByName) {
  for (const auto& [kind, bytes] :
       {std::pair<const char*, int64_t>{"F8_E5M2", 1}, {"U16", 2}, {"C64", 8}, {"I64", 8}}) {
    Variant variant(kTied);
    Variant::Tensor& norm = variant.at("model.norm.weight");
    norm.dtype = kind;
    norm.bytes.assign(static_cast<size_t>(norm.shape[0] * bytes), 'x');
    const std::string message = refusal(variant.write());
    EXPECT_NE(message.find("tensor 'model.norm.weight' is stored as"), std::string::npos) << message;
    std::string word = kind;
    if (word == "I64") word = "i64";
    EXPECT_NE(message.find(word), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace naru::models
