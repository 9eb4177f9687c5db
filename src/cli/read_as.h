// As what the files of a run's data were read, for its plan.
#pragma once

#include <string>
#include <vector>

#include "data/batches.h"

namespace naru::cli {

// "Alpaca: a.jsonl, b.json", one for each form, in the order of reading; the first files by name, the others counted.
std::vector<std::string> read_as(const std::vector<data::DataFile>& files);

}  // namespace naru::cli
