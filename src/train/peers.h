// Peers: the processes that train one model together, as one of them sees them. Each holds the whole model and computes
// some of a step's micro-batches; every one makes the same calls in the same order. A call that fails because another
// process has ended is an error that says which; nobody waits for ever.
//
// What crosses: results by index (gather), sums of gradients (send and receive, along the tree of gradient_sum.h), and
// whether to stop. Ranks are counted from 0; rank 0 writes the folder of the run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "contract/chip.h"

namespace naru::train {

class Peers {
 public:
  virtual ~Peers() = default;

  virtual int64_t rank() const = 0;
  virtual int64_t count() const = 0;

  // What every process gave, by rank; the same at all of them.
  virtual Result<std::vector<std::string>> gather(std::string mine) = 0;

  // The values of a contiguous f32 view go to the process `to`, which receives as many into its own chip's memory.
  virtual Status send(int64_t to, contract::Chip& chip, View values) = 0;
  virtual Status receive(int64_t from, contract::Chip& chip, View values) = 0;
};

// One process: nothing crosses.
class NoPeers final : public Peers {
 public:
  int64_t rank() const override { return 0; }
  int64_t count() const override { return 1; }
  Result<std::vector<std::string>> gather(std::string mine) override { return std::vector{std::move(mine)}; }
  Status send(int64_t to, contract::Chip&, View) override;
  Status receive(int64_t from, contract::Chip&, View) override;
};

// What rank 0 says; the others' `text` is not looked at.
Result<std::string> say_to_all(Peers& peers, std::string text);

// Whether any process wants to: then all do.
Result<bool> agree_to_stop(Peers& peers, bool wants);

// The values of rank 0 to all.
Status copy_to_all(Peers& peers, contract::Chip& chip, View values);

}  // namespace naru::train
