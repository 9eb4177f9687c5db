// The GGUF reader and writer: a file of gguf-py, every rule broken in turn, cuts at every byte, flips of header bits.
#include "formats/gguf.h"

#include <numeric>

#include "formats/gguf_writer.h"
#include "formats/model_config.h"
#include "formats/tokenizer_files.h"
#include "tests/formats/helpers.h"

namespace naru::formats {
namespace {

Result<GgufIndex> parse_file(std::string_view file) {
  return parse_gguf(as_bytes(file), "x.gguf");
}

TEST(Gguf, ReadsAFileOfTheOfficialWriter) {
  const std::string file = fixture("tiny.gguf");
  const auto index = parse_file(file);
  ASSERT_TRUE(index.ok()) << message_of(index);
  EXPECT_EQ(index->version(), 3u);
  EXPECT_EQ(index->tensors().size(), 11u);
  const GgufTensor* k = index->find_tensor("blk.0.attn_k.weight");
  ASSERT_NE(k, nullptr);
  EXPECT_EQ(k->dtype, DType::kQ4_1);
  EXPECT_EQ(k->shape, (std::vector<int64_t>{16, 32}));  // outermost first
  EXPECT_EQ(k->bytes, 16 * 20);
  EXPECT_EQ(index->find_tensor("blk.0.attn_q.weight")->dtype, DType::kF16);
  EXPECT_EQ(index->find_tensor("token_embd.weight")->dtype, DType::kQ8_0);
  EXPECT_EQ(index->find_tensor("nowhere"), nullptr);
  for (const GgufTensor& tensor : index->tensors()) {
    EXPECT_EQ(tensor.offset % 32, 0);
    EXPECT_LE(tensor.offset + tensor.bytes, static_cast<int64_t>(file.size()));
  }
}

TEST(Gguf, EveryTypeOfValue) {
  const std::string file = fixture("tiny.gguf");
  const auto index = parse_file(file);
  ASSERT_TRUE(index.ok());
  const auto integer = [&](std::string_view key) { return index->get_int(key, INT64_MIN, INT64_MAX); };
  EXPECT_EQ(*integer("test.u8"), 200);
  EXPECT_EQ(*integer("test.i8"), -100);
  EXPECT_EQ(*integer("test.u16"), 60000);
  EXPECT_EQ(*integer("test.i16"), -30000);
  EXPECT_EQ(*integer("test.u32"), 4000000000);
  EXPECT_EQ(*integer("test.i32"), -2000000000);
  EXPECT_EQ(*integer("test.i64"), -(int64_t{1} << 62));
  expect_error(integer("test.u64"), Code::kCorrupt, {"test.u64", "above 2^63"});
  EXPECT_EQ(*index->get_double("test.f32"), 0.1);  // by its shortest decimal
  EXPECT_EQ(*index->get_double("test.f64"), 0.1);
  EXPECT_EQ(*index->find_bool("test.bool"), std::optional(true));
  EXPECT_EQ(**index->find_ints("test.ints", -5, 5), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(**index->find_strings("test.strings"), (std::vector<std::string_view>{"a", "", "가"}));
  EXPECT_EQ(*index->get_string("general.name"), "tiny");
  EXPECT_FALSE(index->find_int("nowhere", 0, 1)->has_value());
}

TEST(Gguf, WrongTypesAreNamed) {
  const std::string file = fixture("tiny.gguf");
  const auto index = parse_file(file);
  ASSERT_TRUE(index.ok());
  expect_error(index->get_int("test.f32", 0, 9), Code::kCorrupt,
               {"x.gguf", "'test.f32'", "type f32", "an integer from 0 to 9"});
  expect_error(index->get_int("test.bool", 0, 9), Code::kCorrupt, {"type bool"});
  expect_error(index->get_int("general.name", 0, 9), Code::kCorrupt, {"type string"});
  expect_error(index->get_int("test.u8", 0, 199), Code::kCorrupt, {"is 200", "0 to 199"});
  expect_error(index->get_double("test.u8"), Code::kCorrupt, {"type u8", "f32 or f64"});
  expect_error(index->find_bool("test.u8"), Code::kCorrupt, {"a boolean"});
  expect_error(index->get_string("test.ints"), Code::kCorrupt, {"an array of 3 i32"});
  expect_error(index->find_strings("test.ints"), Code::kCorrupt, {"an array of strings"});
  expect_error(index->find_ints("test.strings", 0, 9), Code::kCorrupt, {"an array of integers"});
  expect_error(index->find_ints("test.ints", 0, 9), Code::kCorrupt, {"test.ints[1]", "-2"});
  expect_error(index->get_string("nowhere"), Code::kCorrupt, {"'nowhere' is missing"});
}

TEST(Gguf, HeadersThatLie) {
  expect_error(parse_file(""), Code::kCorrupt, {"'GGUF' was wanted"});
  expect_error(parse_file("GGML" + std::string(20, '\0')), Code::kCorrupt, {"'GGML'"});
  expect_error(parse_file(GgufBytes(0, 0, 1).text), Code::kUnsupported, {"version 1", "2 or 3"});
  expect_error(parse_file(GgufBytes(0, 0, 4).text), Code::kUnsupported, {"version 4"});
  expect_error(parse_file(GgufBytes(0, 0, 0x03000000).text), Code::kUnsupported, {"big-endian"});
  EXPECT_TRUE(parse_file(GgufBytes(0, 0, 2).text).ok());
  for (const uint64_t n : {uint64_t{1}, uint64_t{1} << 32, uint64_t{1} << 63, ~uint64_t{0}}) {
    expect_error(parse_file(GgufBytes(0, n).text), Code::kCorrupt, {std::to_string(n) + " metadata keys"});
    expect_error(parse_file(GgufBytes(n, 0).text), Code::kCorrupt, {std::to_string(n) + " tensors"});
  }
}

TEST(Gguf, StringsAndArraysThatLie) {
  for (const uint64_t length : {uint64_t{1} << 40, ~uint64_t{0}, uint64_t{1} << 63, uint64_t{200}}) {
    GgufBytes file(0, 1);
    file.key("a.key", 8).number(length).text.append(100, 'x');
    expect_error(parse_file(file.text), Code::kCorrupt, {"'a.key'", std::to_string(length) + " bytes"});
    GgufBytes name(0, 1);
    name.number(length).text.append(150, 'x');
    expect_error(parse_file(name.text), Code::kCorrupt, {"a metadata key"});
    GgufBytes array(0, 1);
    array.key("a.key", 9).number<uint32_t>(4).number(length).text.append(100, 'x');
    expect_error(parse_file(array.text), Code::kCorrupt, {"array of " + std::to_string(length)});
  }
  GgufBytes nested(0, 1);
  nested.key("a.key", 9)
      .number<uint32_t>(9)
      .number<uint64_t>(1)
      .number<uint32_t>(0)
      .number<uint64_t>(1)
      .number<uint8_t>(1);
  expect_error(parse_file(nested.text), Code::kCorrupt, {"array of type 9"});
  expect_error(parse_file(GgufBytes(0, 1).key("a", 13).number<uint64_t>(0).text), Code::kCorrupt, {"value type 13"});
  expect_error(parse_file(GgufBytes(0, 1).key("a", 9).number<uint32_t>(13).number<uint64_t>(0).text), Code::kCorrupt,
               {"array of type 13"});
  expect_error(parse_file(GgufBytes(0, 1).key("a", 7).number<uint8_t>(2).text), Code::kCorrupt, {"neither 0 nor 1"});
}

TEST(Gguf, Keys) {
  expect_error(parse_file(GgufBytes(0, 2).u32("same", 1).u32("same", 1).text), Code::kCorrupt,
               {"'same' is there twice"});
  expect_error(parse_file(GgufBytes(0, 1).u32("", 1).number<uint8_t>(0).text), Code::kCorrupt,
               {"a metadata key is ''"});
  expect_error(parse_file(GgufBytes(0, 1).u32("a\nb", 1).text), Code::kCorrupt, {"a\\x0ab"});
  expect_error(parse_file(GgufBytes(0, 1).u32("\xff", 1).text), Code::kCorrupt, {"\\xff"});
  EXPECT_TRUE(parse_file(GgufBytes(0, 1).u32(std::string(kGgufKeyBytesMax, 'k'), 1).text).ok());
  expect_error(parse_file(GgufBytes(0, 1).u32(std::string(kGgufKeyBytesMax + 1, 'k'), 1).text), Code::kCorrupt,
               {"1025 bytes"});
}

TEST(Gguf, BrokenTextIsFoundWhenItIsRead) {
  const std::string file = GgufBytes(0, 1).str("a", "x\xff").text;
  const auto index = parse_file(file);
  ASSERT_TRUE(index.ok());
  expect_error(index->find_string("a"), Code::kCorrupt, {"'a'", "UTF-8"});
}

TEST(Gguf, Alignment) {
  const auto with = [](uint32_t alignment, size_t real) {
    return parse_file(GgufBytes(1, 1).u32("general.alignment", alignment).tensor("t", {4}, 0, 0).data(16, real).text);
  };
  for (const uint32_t good : {8u, 16u, 64u, 65536u}) EXPECT_TRUE(with(good, good).ok()) << good;
  for (const uint32_t bad : {0u, 1u, 3u, 4u, 48u, 131072u, 1u << 31, ~0u}) {
    expect_error(with(bad, 32), Code::kCorrupt, {"general.alignment", "power of two"});
  }
  GgufBytes typed(0, 1);
  typed.key("general.alignment", 10).number<uint64_t>(32);
  expect_error(parse_file(typed.text), Code::kCorrupt, {"general.alignment", "u64", "u32 was wanted"});
}

TEST(Gguf, TensorTables) {
  EXPECT_TRUE(parse_file(GgufBytes(1, 0).tensor("t", {4}, 0, 0).data(16).text).ok());
  EXPECT_TRUE(parse_file(GgufBytes(1, 0).tensor("t", {32, 2, 1, 1}, 8, 0).data(68).text).ok());
  EXPECT_TRUE(parse_file(GgufBytes(1, 0).tensor("scalar", {}, 0, 0).data(4).text).ok());
  // A tensor of no elements takes no room.
  EXPECT_TRUE(parse_file(GgufBytes(2, 0).tensor("none", {0, 7}, 0, 0).tensor("t", {4}, 0, 0).data(16).text).ok());
  const auto refused = [](GgufBytes file, std::initializer_list<std::string_view> words) {
    expect_error(parse_file(file.data(4096).text), Code::kCorrupt, words);
  };
  refused(GgufBytes(1, 0).tensor("t", {1, 1, 1, 1, 1}, 0, 0), {"5 dimensions"});
  refused(GgufBytes(1, 0).tensor("t", {1ull << 63}, 0, 0), {"dimension 9223372036854775808"});
  refused(GgufBytes(1, 0).tensor("t", {1ull << 32, 1ull << 32}, 0, 0), {"64 bits"});
  refused(GgufBytes(1, 0).tensor("t", {1ull << 62}, 0, 0), {"64 bits"});
  refused(GgufBytes(1, 0).tensor("t", {2000}, 0, 0), {"8000 bytes", "file ends"});
  refused(GgufBytes(1, 0).tensor("t", {48}, 2, 0), {"rows of 48", "32 of a q4_0"});
  refused(GgufBytes(1, 0).tensor("t", {128, 2}, 12, 0), {"rows of 128", "256 of a q4_k"});
  refused(GgufBytes(1, 0).tensor("t", {4}, 0, 32), {"offset 32", "0 was wanted"});
  refused(GgufBytes(1, 0).tensor("t", {4}, 0, 1), {"offset 1"});
  refused(GgufBytes(1, 0).tensor("t", {4}, 0, ~0ull), {"64 bits"});
  refused(GgufBytes(2, 0).tensor("a", {4}, 0, 0).tensor("b", {4}, 0, 0), {"'b'", "offset 0", "32 was wanted"});
  refused(GgufBytes(2, 0).tensor("a", {4}, 0, 0).tensor("b", {4}, 0, 64), {"'b'", "offset 64"});
  refused(GgufBytes(2, 0).tensor("a", {4}, 0, 0).tensor("a", {4}, 0, 32), {"'a' is there twice"});
  refused(GgufBytes(1, 0).tensor("", {4}, 0, 0), {"a tensor's name is ''"});
  refused(GgufBytes(1, 0).tensor(std::string(65, 'n'), {4}, 0, 0), {"65 bytes"});
  EXPECT_TRUE(parse_file(GgufBytes(1, 0).tensor(std::string(64, 'n'), {4}, 0, 0).data(16).text).ok());
}

// Whoever needs such a tensor refuses it by name (tests/models); a file that can do without it is fine.
TEST(Gguf, TypesThatAreNotDoneKeepTheirNames) {
  struct Kind {
    uint32_t id;
    std::string_view name;
    int64_t row, bytes;  // ggml's size of a row of so many elements
  };
  for (const Kind& kind :
       {Kind{10, "Q2_K", 256, 84}, Kind{11, "Q3_K", 256, 110}, Kind{16, "IQ2_XXS", 256, 66}, Kind{20, "IQ4_NL", 32, 18},
        Kind{23, "IQ4_XS", 256, 136}, Kind{25, "I16", 3, 6}, Kind{34, "TQ1_0", 256, 54}, Kind{39, "MXFP4", 32, 17}}) {
    SCOPED_TRACE(kind.name);
    const auto row = static_cast<uint64_t>(kind.row);
    const auto with = [&](uint64_t elements, uint64_t next) {
      return parse_file(
          GgufBytes(2, 0).tensor("odd", {elements, 2}, kind.id, 0).tensor("t", {4}, 0, next).data(4096).text);
    };
    const auto next = static_cast<uint64_t>((2 * kind.bytes + 31) / 32 * 32);
    const auto index = with(row, next);
    ASSERT_TRUE(index.ok()) << message_of(index);
    EXPECT_EQ(index->find_tensor("odd")->unread, kind.name);
    EXPECT_EQ(index->find_tensor("odd")->bytes, 2 * kind.bytes);
    EXPECT_EQ(index->find_tensor("t")->unread, "");
    expect_error(with(row, next + 32), Code::kCorrupt, {"'t'", "was wanted"});
    if (kind.row > 3) expect_error(with(row + 1, next), Code::kCorrupt, {"rows of", kind.name});
  }
  for (const auto& [id, name] : {std::pair<uint32_t, std::string_view>{4, "Q4_2"}, {31, "Q4_0_4_4"}}) {
    expect_error(parse_file(GgufBytes(1, 0).tensor("blk.0.ffn", {256}, id, 0).data(4096).text), Code::kUnsupported,
                 {"'blk.0.ffn'", name, "removed", "Q4_K_M"});
  }
  expect_error(parse_file(GgufBytes(1, 0).tensor("t", {256}, 4242, 0).data(4096).text), Code::kCorrupt,
               {"unknown type 4242"});
}

TEST(Gguf, EveryCutOfAGoodFileIsRefused) {
  const std::string good = fixture("tiny.gguf");
  const auto index = parse_file(good);
  ASSERT_TRUE(index.ok());
  const GgufTensor& last = index->tensors().back();
  const auto end = static_cast<size_t>(last.offset + last.bytes);  // what follows is padding
  for (size_t n = 0; n < end; ++n) ASSERT_FALSE(parse_file(good.substr(0, n)).ok()) << "cut at " << n;
  EXPECT_TRUE(parse_file(good.substr(0, end)).ok());
}

// A flipped bit may leave a good file; then everything above must still take it or refuse it, and nothing may lie
// outside the file.
TEST(Gguf, EveryFlippedBitIsRefusedOrConsistent) {
  std::string file = fixture("tiny.gguf");
  const auto whole = parse_file(file);
  ASSERT_TRUE(whole.ok());
  const auto header = static_cast<size_t>(whole->tensors().front().offset);
  int n_good = 0, n_configs = 0;
  for (size_t bit = 0; bit < header * 8; ++bit) {
    file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << (bit % 8)));
    const auto index = parse_file(file);
    if (index.ok()) {
      ++n_good;
      for (const GgufTensor& tensor : index->tensors())
        ASSERT_LE(tensor.offset + tensor.bytes, static_cast<int64_t>(file.size()));
      n_configs += model_config_from_gguf(*index).ok() ? 1 : 0;
      static_cast<void>(tokenizer_from_gguf(*index).ok());
    }
    file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << (bit % 8)));
  }
  EXPECT_GT(n_good, 1000);
  EXPECT_GT(n_configs, 1000);
}

TEST(Gguf, MemoryStaysNearTheHeader) {
  // As many keys as are read, and arrays of empty strings as large as the file.
  GgufBytes keys(0, static_cast<uint64_t>(kGgufKeysMax));
  for (int64_t i = 0; i < kGgufKeysMax; ++i) keys.key("k" + std::to_string(i), 0).number<uint8_t>(1);
  EXPECT_TRUE(parse_file(keys.text).ok());
  GgufBytes strings(0, 1);
  strings.key("a", 9).number<uint32_t>(8).number<uint64_t>(1000000).text.append(8000000, '\0');
  EXPECT_TRUE(parse_file(strings.text).ok());
  if (!kMemoryIsMeasured) return;
  const int64_t for_keys = peak_growth_of([&] { static_cast<void>(parse_file(keys.text).ok()); });
  EXPECT_GE(for_keys, 0);
  EXPECT_LT(for_keys, 200 * kGgufKeysMax);
  const int64_t for_strings = peak_growth_of([&] {
    const auto index = parse_file(strings.text);
    static_cast<void>(index->find_strings("a").ok());
  });
  EXPECT_GE(for_strings, 0);
  EXPECT_LT(for_strings, 3 * 8000000);
}

TEST(GgufWriter, WritesWhatTheReaderReads) {
  const TempFolder folder;
  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  writer.add_u32("u", 7);
  writer.add_i32("i", -7);
  writer.add_u64("l", uint64_t{1} << 40);
  writer.add_f32("f", 0.25f);
  writer.add_bool("b", true);
  const std::string texts[] = {"x", "", "가나"};
  writer.add_strings("s", texts);
  const int32_t numbers[] = {3, -1};
  writer.add_i32s("n", numbers);
  const float floats[] = {1.5f};
  writer.add_f32s("r", floats);
  ASSERT_TRUE(writer.add_tensor("first", DType::kQ4_0, {3, 64}).ok());
  ASSERT_TRUE(writer.add_tensor("second", DType::kF32, {5}).ok());
  expect_error(writer.add_tensor("bad", DType::kQ4_0, {64, 3}), Code::kInvalidArgument,
               {"'bad'", "[64, 3]", "whole blocks"});
  expect_error(writer.add_tensor("bad", DType::kF8E4M3, {4}), Code::kUnsupported, {"f8_e4m3"});
  expect_error(writer.add_tensor(std::string(65, 'x'), DType::kF32, {4}), Code::kInvalidArgument, {});
  ASSERT_TRUE(writer.begin(folder / "x.gguf").ok());
  std::string bytes(3 * 36 + 20, '\0');
  std::iota(bytes.begin(), bytes.end(), 1);
  for (size_t at = 0; at < bytes.size(); at += 50)
    ASSERT_TRUE(writer.write(as_bytes(std::string_view(bytes).substr(at, 50))).ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "x.gguf"));
  ASSERT_TRUE(writer.finish().ok());

  const auto file = read_file(folder / "x.gguf", 1 << 20);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(static_cast<int64_t>(file->size()), writer.file_bytes());
  const auto index = parse_file(*file);
  ASSERT_TRUE(index.ok()) << message_of(index);
  EXPECT_EQ(*index->get_int("u", 0, 9), 7);
  EXPECT_EQ(*index->get_int("i", -9, 9), -7);
  EXPECT_EQ(*index->get_int("l", 0, INT64_MAX), int64_t{1} << 40);
  EXPECT_EQ(*index->get_double("f"), 0.25);
  EXPECT_EQ(**index->find_bool("b"), true);
  EXPECT_EQ((**index->find_strings("s"))[2], "가나");
  EXPECT_EQ((**index->find_ints("n", -9, 9))[1], -1);
  const GgufTensor* first = index->find_tensor("first");
  const GgufTensor* second = index->find_tensor("second");
  EXPECT_EQ(first->shape, (std::vector<int64_t>{3, 64}));
  EXPECT_EQ(file->substr(static_cast<size_t>(first->offset), 108), bytes.substr(0, 108));
  EXPECT_EQ(file->substr(static_cast<size_t>(second->offset), 20), bytes.substr(108));
}

}  // namespace
}  // namespace naru::formats
