#include "cli/pass_cost.h"

#include <algorithm>
#include <memory>

#include "chips/null/null_chip.h"
#include "contract/op_table.h"

namespace naru::cli {
namespace {

using contract::Chip;

// The null chip, with the costs of its ops added up.
class CostChip : public Chip {
 public:
  explicit CostChip(const Chip& packing) : null_(null::make_null_chip()), packing_(packing) {}
  const PassCost& cost() const { return cost_; }

  contract::ChipInfo info() const override { return null_->info(); }
  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override { return null_->allocate(bytes); }
  Status copy_in(void* to, const void* from, int64_t bytes) override { return null_->copy_in(to, from, bytes); }
  Status copy_out(void* to, const void* from, int64_t bytes) override { return null_->copy_out(to, from, bytes); }
  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override {
    return null_->pack(source, rule);
  }
  int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs,
                       int64_t inputs) const override {
    return null_->packed_bytes(stored, rule, groups, outputs, inputs);
  }
  int64_t cache_page_bytes(const contract::CacheShape& shape) const override { return null_->cache_page_bytes(shape); }
  Status copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) override {
    return null_->copy_cache_page(stream, from, to);
  }
  Status wait() override { return null_->wait(); }
  std::vector<contract::KernelUse> kernel_uses() const override { return null_->kernel_uses(); }

  Status run(const contract::Op& op) override {
    const contract::Cost cost = contract::cost(op);
    cost_.bytes += cost.bytes;
    if (const auto* product = std::get_if<contract::Matmul>(&op)) {
      for (int i = 0; i < product->n_targets; ++i) cost_.bytes += weight_bytes(*product->targets[i].weight, 1);
      add(product->targets[0].weight->rule, cost.flops);
    } else if (const auto* grouped = std::get_if<contract::GroupedMatmul>(&op)) {
      cost_.bytes += weight_bytes(*grouped->weight, grouped->out.rows);
      add(grouped->weight->rule, cost.flops);
    } else if (const auto* attention = std::get_if<contract::Attention>(&op)) {
      add(attention->key.shape.dtype == DType::kBF16 ? contract::Rule::kBF16 : contract::Rule::kF32, cost.flops);
    } else {
      cost_.f32_ops += cost.flops;
    }
    return null_->run(op);
  }

 private:
  // A plan's matrices have no bytes of their own, so the op's cost lacks them. Of many matrices n_used at most are
  // read.
  double weight_bytes(const contract::PackedMatrix& w, int64_t n_used) const {
    const int64_t all = packing_.packed_bytes(w.stored, w.rule, w.groups, w.outputs, w.inputs);
    return static_cast<double>(all) * static_cast<double>(std::min(n_used, w.groups)) / static_cast<double>(w.groups);
  }
  void add(contract::Rule rule, double flops) {
    double& sum = contract::has_integer_activations(rule) ? cost_.int8_ops
                  : rule == contract::Rule::kBF16         ? cost_.bf16_ops
                                                          : cost_.f32_ops;
    sum += flops;
  }

  std::unique_ptr<Chip> null_;
  const Chip& packing_;
  PassCost cost_;
};

}  // namespace

Result<PassCost> pass_cost(const models::Decoder& decoder, const Chip& packing, const PassShape& shape) {
  CostChip chip(packing);
  NARU_ASSIGN(nn::Workspace workspace, nn::Workspace::measuring(chip));
  char page = 0;
  std::vector<nn::LayerCache> cache;
  for (const models::Decoder::LayerCacheShape& layer_shape : decoder.cache_shapes(shape.cache_dtype)) {
    nn::LayerCache layer;
    layer.key = {layer_shape.key, &page, 1};
    if (layer_shape.value) layer.value = {*layer_shape.value, &page, 1};
    cache.push_back(layer);
  }
  const std::vector<int32_t> pages(static_cast<size_t>((shape.depth + shape.rows_each) / contract::kCachePage + 1), 0);
  models::Batch batch;
  for (int64_t s = 0; s < shape.n_sequences; ++s) {
    batch.sequences.push_back({.row_begin = s * shape.rows_each,
                               .n_rows = shape.rows_each,
                               .position_begin = shape.depth,
                               .pages = pages.data()});
    for (int64_t i = 0; i < shape.rows_each; ++i) {
      batch.ids.push_back(0);
      batch.positions.push_back(static_cast<int32_t>(shape.depth + i));
    }
    batch.logit_rows.push_back(static_cast<int32_t>((s + 1) * shape.rows_each - 1));
  }
  NARU_ASSIGN([[maybe_unused]] const View logits, decoder.forward(chip, workspace, batch, cache));
  return chip.cost();
}

}  // namespace naru::cli
