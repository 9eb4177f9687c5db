// GGUF files, and what is made of their metadata: the model's configuration and its tokenizer. Every byte of every
// tensor of an accepted file is read, and a row of each is dequantised.
#include "formats/gguf.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "formats/ggml_blocks.h"
#include "formats/model_config.h"
#include "formats/tokenizer_files.h"
#include "formats/utf8.h"
#include "fuzz/tokenizer_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace naru;
  using namespace naru::formats;
  const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto index = parse_gguf(bytes, "x");
  if (!index.ok()) {
    NARU_CHECK(is_valid_utf8(index.error().message));
    return 0;
  }
  std::vector<float> row;
  for (const GgufTensor& tensor : index->tensors()) {
    NARU_CHECK(tensor.offset >= 0 && tensor.bytes >= 0 && tensor.offset + tensor.bytes <= static_cast<int64_t>(size));
    NARU_CHECK(index->find_tensor(tensor.name) == &tensor);
    if (!tensor.unread.empty()) continue;
    const int64_t n =
        std::min<int64_t>(tensor.bytes == 0      ? 0
                          : tensor.shape.empty() ? 1
                                                 : tensor.shape.back(),
                          4096 / dtype_info(tensor.dtype).block_elements * dtype_info(tensor.dtype).block_elements);
    row.resize(static_cast<size_t>(n));
    dequantise_row(tensor.dtype, bytes.data() + tensor.offset, n, row.data());
  }
  if (const auto config = model_config_from_gguf(*index); !config.ok())
    NARU_CHECK(is_valid_utf8(config.error().message));
  const auto tokenizer = tokenizer_from_gguf(*index);
  if (tokenizer.ok()) {
    check_tokenizer(*tokenizer);
  } else {
    NARU_CHECK(is_valid_utf8(tokenizer.error().message));
  }
  return 0;
}
