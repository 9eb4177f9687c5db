// naru grads: the loss and the gradient of every parameter for given token ids.
#pragma once

#include <string>

#include "cli/options.h"

namespace naru::cli {

struct GradsOptions {
  ModelOptions model;
  std::string ids_path;
  std::string out_path;
  Existing existing = Existing::kRefuse;  // of out_path
  double mtp = 0;                         // weight of the prediction layers' loss
  bool recompute = false;
  bool json = false;
};

Command make_grads();
Status grads_command(const GradsOptions& options);

}  // namespace naru::cli
