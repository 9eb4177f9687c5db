// safetensors: 8 bytes of header length, a JSON header, then the tensors' bytes without holes.
//
// The parser reads the header only and never allocates more than a small multiple of it. What it accepts obeys every
// rule of the format: ranges touch exactly, start at 0 and end at the end of the file, and each is as long as its
// shape and dtype say. Rank 0 and tensors of no elements are legal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "tensor/dtype.h"

namespace naru::formats {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::string_view unread;     // the format's word for a kind that is not done here (then dtype is kU8); else empty
  std::vector<int64_t> shape;  // outermost first
  int64_t begin = 0;           // from the first byte after the header
  int64_t end = 0;
};

struct SafetensorsIndex {
  std::vector<SafetensorsEntry> entries;                      // by (begin, end, name)
  std::vector<std::pair<std::string, std::string>> metadata;  // by key
  int64_t data_begin = 0;                                     // offset of the first tensor byte in the file
};

// `file` is the whole file; `name` appears in messages only.
Result<SafetensorsIndex> parse_safetensors(Bytes file, std::string_view name);

// "F32", "BF16", ...: the format's word for a dtype; empty where it has none.
std::string_view safetensors_dtype_name(DType dtype);

}  // namespace naru::formats
