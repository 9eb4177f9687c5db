// placeholder
#include "chips/cpu/kernels/declarations.h"
namespace naru::cpu::NARU_LEVEL {
Status repack(const contract::Pack&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status weight_grad(const contract::WeightGrad&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
Status product(const contract::Product&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
}
