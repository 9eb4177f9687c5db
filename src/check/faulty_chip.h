// FaultyChip: a chip with a fault (fault.h) in front of another. Faults of arithmetic are made for good: the products
// are computed anew, in plain loops, as the fault says. It waits for every op that it spoils.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>

#include "check/fault.h"
#include "contract/forwarding_chip.h"

namespace naru::check {

// Where ops that do not end are held, until somebody lets them go: they end with an error then.
class Hold {
 public:
  void wait();
  void let_go();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = false;
};

class FaultyChip final : public contract::ForwardingChip {
 public:
  FaultyChip(std::unique_ptr<contract::Chip> inner, const Fault& fault, uint64_t seed = 1);
  ~FaultyChip() override;

  // Without a fault until begin(), which draws anew.
  void rest() { is_at_rest_ = true; }
  void begin(uint64_t seed);

  Result<std::unique_ptr<contract::Buffer>> allocate(int64_t bytes) override;
  Status copy_in(ChipAddress to, const void* from, int64_t bytes) override;
  Status copy_out(void* to, ChipAddress from, int64_t bytes) override;
  Result<std::unique_ptr<contract::PackedMatrix>> pack(const contract::MatrixSource& source,
                                                       contract::Rule rule) override;
  Status copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to) override;
  Result<std::unique_ptr<contract::Sequences>> make_sequences(std::span<const contract::SequenceRows> rows) override;
  void set_place(contract::Place place) override;
  Status run(const contract::Op& op) override;
  Status wait() override;

  int64_t n_faults() const { return n_faults_; }  // ops that did not run, or whose values are others
  const std::shared_ptr<Hold>& hold() const { return hold_; }

 private:
  bool is_hit(const contract::Op& op);
  Status there() const;  // an error where the chip is gone
  Status spoil(const contract::Op& op);
  Status bring_into_range(const contract::Route& op);
  // The error of an op that does not run, at its place.
  Status refusal(const contract::Op& op, Code code, std::string_view found);
  // Writes a row of an output, and notes where that changes it.
  Status put_row(const View& row, const std::vector<float>& values);
  Status run_twice(const contract::Op& op);
  Status run_stale(const contract::Op& op);
  // Changes the rows of every f32 output.
  template <typename Change>
  Status change_outputs(const contract::Op& op, const Change& change);
  Status flip_one_bit(const contract::Op& op);
  Status multiply_anew(const contract::Op& op);
  Result<std::vector<float>> rows_of(const View& view, bool is_transposed) const;
  // out = a b^T, and + bias; of `inputs` elements each.
  Status write_products(const View& out, const std::vector<float>& a, const std::vector<float>& b, int64_t inputs,
                        const View& bias);

  std::unique_ptr<contract::Chip> inner_;
  Fault fault_;
  uint64_t seed_;
  uint64_t n_draws_ = 0;
  int64_t n_faults_ = 0;
  bool is_changed_ = false;  // by the op that runs
  bool is_at_rest_ = false;
  bool is_gone_ = false;
  std::shared_ptr<Hold> hold_ = std::make_shared<Hold>();
  // What matrices of the f32 rule were packed from, where the fault needs it.
  std::map<const contract::PackedMatrix*, std::vector<float>> values_;
};

}  // namespace naru::check
