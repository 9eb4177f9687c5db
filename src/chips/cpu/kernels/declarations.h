// The functions that a level defines, under the names of KernelTable's members. Included by the kernels' sources, which
// are compiled once a level; level.cpp gathers them in table(), with those of the lower level that this one lacks.
#pragma once

#include "chips/cpu/kernels/kernels.h"

namespace naru::cpu::NARU_LEVEL {

Status embed(const contract::Embed& op, Work& work, std::string_view* kernel);
Status rms_norm(const contract::RmsNorm& op, Work& work, std::string_view* kernel);
Status matmul(const contract::Matmul& op, Work& work, std::string_view* kernel);
Status grouped_matmul(const contract::GroupedMatmul& op, Work& work, std::string_view* kernel);
Status rope_table(const contract::RopeTable& op, Work& work, std::string_view* kernel);
Status rope(const contract::Rope& op, Work& work, std::string_view* kernel);
Status round_bf16(const contract::RoundBF16& op, Work& work, std::string_view* kernel);
Status cache_write(const contract::CacheWrite& op, Work& work, std::string_view* kernel);
Status attention(const contract::Attention& op, Work& work, std::string_view* kernel);
Status silu_mul(const contract::SiluMul& op, Work& work, std::string_view* kernel);
Status add(const contract::Add& op, Work& work, std::string_view* kernel);
Status route(const contract::Route& op, Work& work, std::string_view* kernel);
Status combine(const contract::Combine& op, Work& work, std::string_view* kernel);
Status log_prob(const contract::LogProb& op, Work& work, std::string_view* kernel);
Status repack(const contract::Pack& op, Work& work, std::string_view* kernel);
Status weight_grad(const contract::WeightGrad& op, Work& work, std::string_view* kernel);
Status product(const contract::Product& op, Work& work, std::string_view* kernel);
Status column_sum(const contract::ColumnSum& op, Work& work, std::string_view* kernel);
Status sum_slots(const contract::SumSlots& op, Work& work, std::string_view* kernel);
Status rms_norm_grad(const contract::RmsNormGrad& op, Work& work, std::string_view* kernel);
Status rope_grad(const contract::RopeGrad& op, Work& work, std::string_view* kernel);
Status attention_grad(const contract::AttentionGrad& op, Work& work, std::string_view* kernel);
Status silu_mul_grad(const contract::SiluMulGrad& op, Work& work, std::string_view* kernel);
Status combine_grad(const contract::CombineGrad& op, Work& work, std::string_view* kernel);
Status route_grad(const contract::RouteGrad& op, Work& work, std::string_view* kernel);
Status balance_loss(const contract::BalanceLoss& op, Work& work, std::string_view* kernel);
Status cross_entropy(const contract::CrossEntropy& op, Work& work, std::string_view* kernel);
Status embed_grad(const contract::EmbedGrad& op, Work& work, std::string_view* kernel);
Status fill(const contract::Fill& op, Work& work, std::string_view* kernel);
Status axpby(const contract::Axpby& op, Work& work, std::string_view* kernel);
Status sum_of_squares(const contract::SumOfSquares& op, Work& work, std::string_view* kernel);
Status adamw(const contract::AdamW& op, Work& work, std::string_view* kernel);

Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source, contract::Rule rule,
                                                     Work& work);
int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs, int64_t inputs);

const KernelTable& table();

}  // namespace naru::cpu::NARU_LEVEL
