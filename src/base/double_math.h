// sin, cos, exp, log and pow in double, for tables, schedules and samplers: made of IEEE operations and fma alone, so
// that every machine computes the same bits (C libraries differ in the last place). Errors stay below 1 ulp.
#pragma once

namespace naru {

double exp_double(double x);
double log_double(double x);               // natural; x > 0
double pow_double(double base, double y);  // base > 0; error below 1 ulp through a double-double logarithm
double sin_double(double x);               // |x| <= 2^30
double cos_double(double x);               // |x| <= 2^30

}  // namespace naru
