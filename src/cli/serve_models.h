// The models of `naru serve MODEL...`: each under a name, and what it will take.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/options.h"

namespace naru::cli {

struct NamedModel {
  std::string name;  // that requests call it by
  std::string path;
  bool has_own_name = false;  // it was given as NAME=PATH
};

// "PATH", the name of a pulled model, or either behind "NAME=".
std::function<Status(const Given&)> add_named_model(std::vector<NamedModel>* models);

// By which name a model is served that was given so.
std::string name_of_given(const std::string& given);

struct PlannedModel {
  int64_t context = 0;    // it has, whatever else is loaded: an answer shall not depend on that
  int64_t bytes = 0;      // it takes
  int64_t available = 0;  // that the machine has now
};

// Plans each as if it were alone. kResourceExhausted: one that does not fit even so. kInvalidArgument: one name twice.
Result<std::vector<PlannedModel>> plan_models(const std::vector<NamedModel>& models, const ModelOptions& options,
                                              int64_t parallel, int64_t cache_tokens);

}  // namespace naru::cli
