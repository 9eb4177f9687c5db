// The functions that a level defines. Included by the kernels' sources, which are compiled once a level; level.cpp
// gathers them in table(), with those of the lower level that this one lacks.
#pragma once

#include "chips/cpu/kernels/kernels.h"

namespace naru::cpu::NARU_LEVEL {

// The kernel of an op: each source defines the specialisations of its ops; a missing one does not link.
template <typename O>
Status run(const O& op, Work& work, std::string_view* kernel);

Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source, contract::Rule rule,
                                                     Work& work);
int64_t packed_bytes(DType stored, contract::Rule rule, int64_t groups, int64_t outputs, int64_t inputs);

const KernelTable& table();

}  // namespace naru::cpu::NARU_LEVEL
