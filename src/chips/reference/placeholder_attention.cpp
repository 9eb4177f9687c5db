// placeholder
#include "chips/reference/ops.h"
namespace naru::reference {
Status run_attention_grad(const contract::AttentionGrad&) { return Error{Code::kUnsupported, "not built yet"}; }
}
