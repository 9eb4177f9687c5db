// placeholder
#include "chips/reference/ops.h"
namespace naru::reference {
Status run_column_sum(const contract::ColumnSum&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_sum_slots(const contract::SumSlots&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_rms_norm_grad(const contract::RmsNormGrad&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_rope_grad(const contract::RopeGrad&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_silu_mul_grad(const contract::SiluMulGrad&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_combine_grad(const contract::CombineGrad&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_route_grad(const contract::RouteGrad&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_balance_loss(const contract::BalanceLoss&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_cross_entropy(const contract::CrossEntropy&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_embed_grad(const contract::EmbedGrad&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_fill(const contract::Fill&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_axpby(const contract::Axpby&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_sum_of_squares(const contract::SumOfSquares&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_adamw(const contract::AdamW&) { return Error{Code::kUnsupported, "not built yet"}; }
}
