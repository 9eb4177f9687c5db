// placeholder
#include "chips/cpu/kernels/declarations.h"
namespace naru::cpu::NARU_LEVEL {
Status attention_grad(const contract::AttentionGrad&, Work&, std::string_view*) { return Error{Code::kUnsupported, "not built yet"}; }
}
