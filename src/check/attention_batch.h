// Programs of attention: documents, how they are fed, lists of selected positions, and the ops over them.
#pragma once

#include "check/case.h"

namespace naru::check {

double attention_elements(const Case& c);
std::string attention_misfit(const Case& c);
std::string attention_grad_misfit(const Case& c);
Program build_attention(const Case& c);
Program build_attention_grad(const Case& c);

}  // namespace naru::check
