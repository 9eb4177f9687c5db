// Makes a case that fails smaller for as long as it fails.
#pragma once

#include <functional>

#include "check/case.h"

namespace naru::check {

// Tries smaller dimensions, shorter lists, plainer values, gaps and seeds, keeps what `fails` says of, and ends
// where none of them does, or after `runs_max` tries. What it tries is a case of its suite.
Case shrink(const Case& failing, const std::function<bool(const Case&)>& fails, int64_t runs_max);

}  // namespace naru::check
