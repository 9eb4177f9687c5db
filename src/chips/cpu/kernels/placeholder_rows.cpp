// placeholder
#include "chips/cpu/kernels/declarations.h"
namespace naru::cpu::NARU_LEVEL {
Status column_sum(const contract::ColumnSum&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status sum_slots(const contract::SumSlots&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status rms_norm_grad(const contract::RmsNormGrad&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status rope_grad(const contract::RopeGrad&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status silu_mul_grad(const contract::SiluMulGrad&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status combine_grad(const contract::CombineGrad&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status route_grad(const contract::RouteGrad&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status balance_loss(const contract::BalanceLoss&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status cross_entropy(const contract::CrossEntropy&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status embed_grad(const contract::EmbedGrad&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status fill(const contract::Fill&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status axpby(const contract::Axpby&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status sum_of_squares(const contract::SumOfSquares&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status adamw(const contract::AdamW&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
}
