// RunLister: the runs of a folder for whoever asks again and again. A run whose files are those that were read is not
// read again; whether its trainer is alive is asked each time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/result.h"
#include "runs/pipeline_record.h"
#include "runs/run_folder.h"

namespace naru::runs {

struct ListedPipeline {
  std::filesystem::path folder;
  PipelineRecord record;
};

// What becomes of symbolic links: they are followed; or what lies outside of the folder, or has a file there that would
// be read, counts as not there.
enum class Links : uint8_t { kFollow, kStayInside };

class RunLister {
 public:
  explicit RunLister(std::filesystem::path folder, Links links = Links::kFollow);
  RunLister(RunLister&&) noexcept;
  RunLister& operator=(RunLister&&) noexcept;
  ~RunLister();

  // The runs, oldest first, or the one that the folder is.
  Result<std::vector<RunSummary>> list();
  // The pipelines that the last list() met, in the order of their folders' names.
  const std::vector<ListedPipeline>& pipelines() const;
  // How often run.json was read, by all calls together.
  int64_t n_read() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace naru::runs
