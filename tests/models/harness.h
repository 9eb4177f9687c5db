// What the tests of whole models share: fixtures (checkpoints, ids, logits of the official implementation), and a
// runner that feeds one sequence in chunks of any size with its own cache, below the engine.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/model.h"

namespace naru::models {

inline std::filesystem::path fixture_folder(const std::string& name) {
  return std::filesystem::path(NARU_TEST_DATA) / "models" / name;
}

inline std::filesystem::path fixture_model(const std::string& name) {
  const auto folder = fixture_folder(name);
  return std::filesystem::exists(folder / "model.gguf") ? folder / "model.gguf" : folder / "hf";
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

inline std::vector<std::string> fixture_names() {
  std::vector<std::string> names;
  const auto manifest = read_json(std::filesystem::path(NARU_TEST_DATA) / "models" / "MANIFEST.json");
  for (const auto& item : manifest["fixtures"].items()) names.push_back(item.key());
  return names;
}

// A float32 .npy of two dimensions in C order.
struct Matrix {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<float> values;
};

inline Matrix read_npy(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  uint16_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data() + 8, 2);
  const std::string header = bytes.substr(10, header_bytes);
  EXPECT_NE(header.find("'<f4'"), std::string::npos) << header;
  Matrix matrix;
  const size_t shape = header.find('(');
  EXPECT_EQ(std::sscanf(header.c_str() + shape, "(%ld, %ld)", &matrix.rows, &matrix.cols), 2) << header;
  matrix.values.resize(static_cast<size_t>(matrix.rows * matrix.cols));
  std::memcpy(matrix.values.data(), bytes.data() + 10 + header_bytes, matrix.values.size() * 4);
  return matrix;
}

// A model with the cache of one sequence.
class Runner {
 public:
  Runner(const std::filesystem::path& path, contract::Chip& chip, const LoadOptions& options) : chip_(chip) {
    auto files = open_model_files(path);
    EXPECT_TRUE(files.ok()) << (files.ok() ? "" : files.error().message);
    if (files.ok()) load(*files, options);
  }
  Runner(const ModelFiles& files, contract::Chip& chip, const LoadOptions& options) : chip_(chip) {
    load(files, options);
  }

  bool is_ready() const { return is_ready_; }
  const ModelPlan& plan() const { return plan_; }

  // Logits [ids, vocab] of a fresh sequence fed in chunks.
  Matrix logits(const std::vector<int32_t>& ids, int64_t chunk) {
    make_cache(static_cast<int64_t>(ids.size()));
    nn::Workspace workspace = nn::Workspace::create(chip_, int64_t{1} << 28).value();
    Matrix result;
    for (size_t begin = 0; begin < ids.size(); begin += static_cast<size_t>(chunk)) {
      const nn::WorkspaceScope scope(workspace);
      const size_t end = std::min(ids.size(), begin + static_cast<size_t>(chunk));
      Batch batch;
      for (size_t i = begin; i < end; ++i) {
        batch.ids.push_back(ids[i]);
        batch.positions.push_back(static_cast<int32_t>(i));
        batch.logit_rows.push_back(static_cast<int32_t>(i - begin));
      }
      batch.sequences.push_back({.row_begin = 0,
                                 .n_rows = static_cast<int64_t>(end - begin),
                                 .position_begin = static_cast<int64_t>(begin),
                                 .pages = pages_.data()});
      const auto output = decoder_.forward(chip_, workspace, batch, cache_);
      EXPECT_TRUE(output.ok()) << (output.ok() ? "" : output.error().message);
      if (!output.ok()) return result;
      const View* view = &output->logits;
      EXPECT_TRUE(chip_.wait().ok());
      result.cols = view->cols;
      result.rows += view->rows;
      const size_t old = result.values.size();
      result.values.resize(old + static_cast<size_t>(view->rows * view->cols));
      EXPECT_TRUE(chip_.copy_out(result.values.data() + old, view->address, view->rows * view->cols * 4).ok());
    }
    return result;
  }

 private:
  void load(const ModelFiles& files, const LoadOptions& options) {
    auto plan = plan_model(files, chip_, options);
    EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().message);
    if (!plan.ok()) return;
    plan_ = std::move(*plan);
    auto decoder = load_model(files, plan_, chip_, {});
    EXPECT_TRUE(decoder.ok()) << (decoder.ok() ? "" : decoder.error().message);
    if (!decoder.ok()) return;
    decoder_ = std::move(*decoder);
    is_ready_ = true;
  }

  void make_cache(int64_t n_positions) {
    const int64_t n_pages = n_positions / contract::kCachePage + 1;
    pages_.clear();
    for (int64_t i = 0; i < n_pages; ++i) pages_.push_back(static_cast<int32_t>(n_pages - 1 - i));
    cache_.clear();
    buffers_.clear();
    const auto make_stream = [&](const contract::CacheShape& shape) -> Result<contract::CacheStream> {
      const int64_t page_bytes = chip_.cache_page_bytes(shape);
      buffers_.push_back(chip_.allocate(page_bytes * n_pages).value());
      return contract::CacheStream{shape, buffers_.back()->address(), page_bytes};
    };
    for (const nn::LayerCacheShape& shape : decoder_.cache_shapes(plan_.cache_dtype)) {
      cache_.push_back(nn::LayerCache::create(shape, make_stream).value());
    }
  }

  contract::Chip& chip_;
  ModelPlan plan_;
  Decoder decoder_;
  std::vector<std::unique_ptr<contract::Buffer>> buffers_;
  std::vector<nn::LayerCache> cache_;
  std::vector<int32_t> pages_;
  bool is_ready_ = false;
};

// The first row whose bits differ, or -1.
inline int64_t first_difference(const Matrix& a, const Matrix& b) {
  if (a.rows != b.rows || a.cols != b.cols) return 0;
  for (size_t i = 0; i < a.values.size(); ++i) {
    if (std::bit_cast<uint32_t>(a.values[i]) != std::bit_cast<uint32_t>(b.values[i])) {
      return static_cast<int64_t>(i) / a.cols;
    }
  }
  return -1;
}

}  // namespace naru::models
