// OutcomesAhead: what the reference chip makes of a list of cases, computed on threads of its own ahead of whoever
// takes them in their order. The reference chip has one thread and is slow; cases do not need each other.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "check/case.h"
#include "check/run_program.h"

namespace naru::check {

class OutcomesAhead {
 public:
  // The cases must outlive it.
  OutcomesAhead(const std::vector<Case>& cases, const std::function<std::unique_ptr<contract::Chip>()>& make_reference,
                int n_threads);
  ~OutcomesAhead();
  OutcomesAhead(const OutcomesAhead&) = delete;
  OutcomesAhead& operator=(const OutcomesAhead&) = delete;

  // Of the next case, waited for. Valid until the next call.
  const Result<Outcome>& next();

 private:
  void work(contract::Chip& reference);

  const std::vector<Case>& cases_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t n_begun_ = 0, n_taken_ = 0;
  bool is_ending_ = false;
  std::vector<std::optional<Result<Outcome>>> outcomes_;  // by case; empty again once the next was taken
  std::vector<std::unique_ptr<contract::Chip>> references_;
  std::vector<std::thread> threads_;  // last: they use all others
};

}  // namespace naru::check
