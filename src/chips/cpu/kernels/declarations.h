// The functions that every level defines, under the names of KernelTable's members. Included by the kernels' sources,
// which are compiled once a level; level.cpp gathers them in table().
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

Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source, contract::Rule rule,
                                                     Work& work);
int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs, int64_t inputs);

const KernelTable& table();

}  // namespace naru::cpu::NARU_LEVEL
