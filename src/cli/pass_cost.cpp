#include "cli/pass_cost.h"

#include "contract/forwarding_chip.h"
#include "contract/op_table.h"

namespace naru::cli {
namespace {

// A planner, with the costs of its ops added up.
class CostChip : public contract::ForwardingChip {
 public:
  using ForwardingChip::ForwardingChip;
  const PassCost& cost() const { return cost_; }

  Status run(const contract::Op& op) override {
    const contract::Cost cost = contract::cost(op);
    cost_.bytes += cost.bytes;
    if (const auto* product = std::get_if<contract::Matmul>(&op)) {
      add(product->targets[0].weight->rule, cost.flops);
    } else if (const auto* grouped = std::get_if<contract::GroupedMatmul>(&op)) {
      add(grouped->targets[0].weight->rule, cost.flops);
    } else if (const auto* attention = std::get_if<contract::Attention>(&op)) {
      add(attention->key.shape.dtype == DType::kBF16 ? contract::Rule::kBF16 : contract::Rule::kF32, cost.flops);
    } else {
      cost_.f32_ops += cost.flops;
    }
    return chip_.run(op);
  }

 private:
  void add(contract::Rule rule, double flops) {
    double& sum = contract::has_integer_activations(rule) ? cost_.int8_ops
                  : rule == contract::Rule::kBF16         ? cost_.bf16_ops
                                                          : cost_.f32_ops;
    sum += flops;
  }

  PassCost cost_;
};

}  // namespace

Result<PassCost> pass_cost(const models::ModelPlan& plan, const PassShape& shape) {
  CostChip chip(*plan.planner);
  NARU_ASSIGN(nn::Workspace workspace, nn::Workspace::measuring(chip));
  NARU_ASSIGN(const auto page, chip.allocate(1));
  std::vector<nn::LayerCache> cache;
  for (const nn::LayerCacheShape& layer_shape : plan.shape->cache_shapes(plan.cache_dtype)) {
    NARU_ASSIGN(cache.emplace_back(), nn::LayerCache::create_on(layer_shape, page->address()));
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
  NARU_TRY(plan.shape->forward(chip, workspace, batch, cache));
  return chip.cost();
}

}  // namespace naru::cli
