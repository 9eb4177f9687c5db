// GGUF versions 2 and 3: typed metadata and tensors in one file, little endian.
//
// parse_gguf reads everything before the tensors' bytes and checks all of it: counts against the bytes that are left,
// every string and array inside the file, keys and names once, offsets aligned, ascending and exact, row lengths
// whole blocks, and the last tensor inside the file. Values stay in the file: the index keeps where they are and reads
// them again through bounded cursors, so its memory is a small multiple of the number of keys and tensors, and a file
// that changes later gives wrong values or errors, never a wild read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "tensor/dtype.h"

namespace naru::formats {

// Of GGUF files that naru writes: every id that ends an answer, where llama.cpp's keys have room for three.
inline constexpr std::string_view kGgufEndIdsKey = "naru.eos_token_ids";

inline constexpr int64_t kGgufKeysMax = 65536;       // metadata keys
inline constexpr int64_t kGgufKeyBytesMax = 1024;    // bytes of a key
inline constexpr int64_t kGgufNameBytesMax = 64;     // bytes of a tensor's name
inline constexpr int64_t kGgufRankMax = 4;           // dimensions
inline constexpr int64_t kGgufAlignmentMax = 65536;  // general.alignment: a power of two from 8 to this

// What to do about a file that is whole but says wrong things, for messages.
inline constexpr std::string_view kConvertAgain = "convert the model again with a current converter";

// The same about a tensor of a kind that is not done here.
inline constexpr std::string_view kOtherQuantisation =
    "get the model as F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K (Q4_K_M and Q5_K_M files "
    "qualify)";

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

std::string_view gguf_type_name(GgufType type);

struct GgufValue {
  std::string key;
  GgufType type = GgufType::kU8;
  GgufType element_type = GgufType::kU8;  // of an array
  int64_t count = 1;                      // elements of an array
  int64_t offset = 0;  // of the value's bytes: for a string its length field, for an array its first element
  int64_t bytes = 0;   // up to the next key
};

struct GgufTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::string_view unread;     // the format's word for a kind that is not done here (then dtype is kU8); else empty
  std::vector<int64_t> shape;  // outermost first: the reverse of the file's order
  int64_t offset = 0;          // from the start of the file
  int64_t bytes = 0;
};

class GgufIndex {
 public:
  const std::string& name() const { return name_; }
  uint32_t version() const { return version_; }
  int64_t alignment() const { return alignment_; }
  const std::vector<GgufValue>& values() const { return values_; }     // by key
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // by offset
  const GgufTensor* find_tensor(std::string_view tensor_name) const;

  const GgufValue* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // Nothing where the key is absent; an error where its type or range is wrong. Any integer type serves as integer,
  // f32 and f64 as double, nothing else converts. An f32 becomes the double nearest to its shortest decimal form, so
  // that the 1e-05 of a config.json is the same number after a visit to GGUF.
  Result<std::optional<int64_t>> find_int(std::string_view key, int64_t min, int64_t max) const;
  Result<std::optional<double>> find_double(std::string_view key) const;
  Result<std::optional<bool>> find_bool(std::string_view key) const;
  Result<std::optional<std::string_view>> find_string(std::string_view key) const;  // valid UTF-8, a view of the file
  Result<std::optional<std::vector<std::string_view>>> find_strings(std::string_view key) const;  // the same
  Result<std::optional<std::vector<int64_t>>> find_ints(std::string_view key, int64_t min, int64_t max) const;

  // The same, and an error where absent.
  Result<int64_t> get_int(std::string_view key, int64_t min, int64_t max) const;
  Result<double> get_double(std::string_view key) const;
  Result<std::string_view> get_string(std::string_view key) const;

  // "reading FILE: key KEY is FOUND, WANTED was wanted; NEXT"
  Error wrong(Code code, std::string_view key, std::string_view found, std::string_view wanted,
              std::string_view next) const;
  Error missing(std::string_view key) const;

 private:
  friend Result<GgufIndex> parse_gguf(Bytes file, std::string_view name);
  friend class GgufReader;
  Bytes payload(const GgufValue& value) const;

  Bytes file_;
  std::string name_;
  uint32_t version_ = 0;
  int64_t alignment_ = 32;
  std::vector<GgufValue> values_;
  std::vector<GgufTensor> tensors_;
  std::vector<int32_t> tensors_by_name_;  // indices into tensors_
};

// `file` is the whole file and must outlive the index; `name` appears in messages only.
Result<GgufIndex> parse_gguf(Bytes file, std::string_view name);

// GGUF's number of a dtype; nothing for those it does not have.
std::optional<uint32_t> gguf_type_of(DType dtype);

}  // namespace naru::formats
