// placeholder
#include "chips/reference/ops.h"
namespace naru::reference {
Status run_repack(const contract::Pack&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_weight_grad(const contract::WeightGrad&) { return Error{Code::kUnsupported, "not built yet"}; }
Status run_product(const contract::Product&) { return Error{Code::kUnsupported, "not built yet"}; }
}
