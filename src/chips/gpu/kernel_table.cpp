#include "chips/gpu/kernel_table.h"

#include <algorithm>

#include "base/check.h"

namespace naru::gpu {
namespace {

constexpr KernelInfo kKernels[] = {
    {"probe", "probe", 32},
    {"probe_dots", "probe_int8", 32},
    {"probe_matrix", "probe_int8", 32},
    {"fill", "elements", 64},
    {"add", "elements", 64},
    {"round_bf16", "elements", 64},
    {"axpby", "elements", 64},
    {"silu_mul", "elements", 64},
    {"rope", "elements", 64},
    {"combine", "elements", 64},
    {"copy_words", "elements", 64},
    {"sum_slots", "elements", 64},
    {"silu_mul_grad", "elements", 64},
    {"adamw", "elements", 64},
    {"rms_norm", "rows", 16, 4},
    {"log_prob", "rows", 16, 4},
    {"cross_entropy", "rows", 16, 4},
    {"row_squares", "rows", 16, 4},
    {"tree", "rows", 64},
    {"column_sum", "rows", 64},
    {"inverse_rms", "rows", 16, 4},
    {"rms_norm_dweight", "rows", 64},
    {"rms_norm_dx", "rows", 16, 4},
    {"combine_grad", "rows", 16, 4},
    {"embed_grad", "rows", 64},
    {"product_f32", "products", 8},
    {"product_bf16", "products", 8},
    {"product_f32_tiles", "products", 8, 8},
    {"product_bf16_tiles", "products", 8, 8},
    {"views_f32_tiles", "products", 8, 8},
    {"views_bf16_tiles", "products", 8, 8},
    {"join_segments", "products", 64},
    {"product_views", "products", 16},
    {"list_slots", "products", 4},
    {"weight_grad", "products", 16},
    {"weight_grad_f32_tiles", "products", 8, 8},
    {"weight_grad_bf16_tiles", "products", 8, 8},
    {"join_slots", "products", 64},
    {"pack_f32", "products", 32},
    {"pack_bf16", "products", 32},
    {"embed_f32", "products", 64},
    {"embed_bf16", "products", 64},
    {"quantise_rows", "quantise", 64},
    {"quantise_blocks", "quantise", 32, 4},
    {"product_w8a8", "w8a8", 32, 4},
    {"product_w8a8_few", "w8a8", 32, 4},
    {"product_w8a8_tiles", "w8a8", 8, 8},
    {"embed_w8a8", "w8a8", 64},
    {"product_w8a8_matrix", "w8a8_matrix", 32, 4},
    {"product_q8_0", "blocks_q8_0", 32, 4},
    {"product_q8_0_rows", "blocks_q8_0", 32, 4},
    {"product_q4_0", "blocks_q4_0", 32, 4},
    {"product_q4_0_rows", "blocks_q4_0", 32, 4},
    {"product_q4_1", "blocks_q4_1", 32, 4},
    {"product_q4_1_rows", "blocks_q4_1", 32, 4},
    {"product_q5_0", "blocks_q5_0", 32, 4},
    {"product_q5_0_rows", "blocks_q5_0", 32, 4},
    {"product_q5_1", "blocks_q5_1", 32, 4},
    {"product_q5_1_rows", "blocks_q5_1", 32, 4},
    {"product_q4_k", "blocks_q4_k", 32, 4},
    {"product_q4_k_rows", "blocks_q4_k", 32, 4},
    {"product_q5_k", "blocks_q5_k", 32, 4},
    {"product_q5_k_rows", "blocks_q5_k", 32, 4},
    {"product_q6_k", "blocks_q6_k", 32, 4},
    {"product_q6_k_rows", "blocks_q6_k", 32, 4},
    {"embed_q8_0", "blocks_q8_0", 64},
    {"embed_q4_0", "blocks_q4_0", 64},
    {"embed_q4_1", "blocks_q4_1", 64},
    {"embed_q5_0", "blocks_q5_0", 64},
    {"embed_q5_1", "blocks_q5_1", 64},
    {"embed_q4_k", "blocks_q4_k", 64},
    {"embed_q5_k", "blocks_q5_k", 64},
    {"embed_q6_k", "blocks_q6_k", 64},
    {"cache_write", "attention", 4},
    {"check_selected", "attention", 4},
    {"attention", "attention", 64},
    {"attention_grad_begin", "attention_grad", 16},
    {"attention_grad_finite", "attention_grad", 16},
    {"attention_grad_rows", "attention_grad", 64},
    {"attention_grad_columns", "attention_grad", 16},
    {"check_given", "route", 4},
    {"route", "route", 4},
    {"route_grad", "route", 4},
    {"balance_shares", "balance", 4},
    {"balance_experts", "balance", 16},
    {"balance_loss", "balance", 1},
    {"balance_dscores", "balance", 4},
};

}  // namespace

std::span<const KernelInfo> all_kernels() {
  return kKernels;
}

const KernelInfo& kernel_of(std::string_view name) {
  const auto* found = std::find_if(std::begin(kKernels), std::end(kKernels),
                                   [&](const KernelInfo& kernel) { return kernel.name == name; });
  NARU_CHECK(found != std::end(kKernels), "no kernel of this name:", name);
  return *found;
}

}  // namespace naru::gpu
