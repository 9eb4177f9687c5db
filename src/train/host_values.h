// HostValues: values of a chip kept on the host under their names, to be put back, and to be held against what the chip
// has later.
#pragma once

#include <string>
#include <vector>

#include "base/sha256.h"
#include "check/agreement.h"
#include "train/chip_values.h"

namespace naru::train {

class HostValues {
 public:
  // A contiguous f32 view.
  void add(std::string name, View view) { places_.push_back({std::move(name), view, {}}); }

  // From the chip to the host; the SHA-256 of all of them.
  Result<std::string> keep(contract::Chip& chip) {
    Sha256 hash;
    NARU_TRY(chip.wait());
    for (Place& place : places_) {
      place.values.resize(static_cast<size_t>(place.view.rows * place.view.cols));
      const auto bytes = static_cast<int64_t>(place.values.size() * sizeof(float));
      NARU_TRY(chip.copy_out(place.values.data(), place.view.address, bytes));
      hash.update(std::as_bytes(std::span<const float>(place.values)));
    }
    return hash.finish_hex();
  }

  // The SHA-256 of what the chip has now, and in what it differs from what was kept.
  Result<std::string> compare(contract::Chip& chip, check::BitDifference& difference) const {
    Sha256 hash;
    NARU_TRY(chip.wait());
    for (const Place& place : places_) {
      NARU_TRY(for_each_piece(chip, place.view, [&](std::span<const float> now, int64_t begin) -> Status {
        hash.update(std::as_bytes(now));
        const std::span<const float> kept(place.values.data() + begin, now.size());
        difference.compare(place.name, place.view.cols, begin, now, kept);
        return {};
      }));
    }
    return hash.finish_hex();
  }

  // What was kept, to the chip.
  Status put_back(contract::Chip& chip) const {
    for (const Place& place : places_) {
      const auto bytes = static_cast<int64_t>(place.values.size() * sizeof(float));
      NARU_TRY(chip.copy_in(place.view.address, place.values.data(), bytes));
    }
    return {};
  }

  // What another one of the same views, elsewhere on the chip, kept.
  void take_values(HostValues& of) {
    NARU_CHECK(of.places_.size() == places_.size(), of.places_.size(), places_.size());
    for (size_t i = 0; i < places_.size(); ++i) places_[i].values = std::move(of.places_[i].values);
  }

  int64_t bytes() const {
    int64_t n = 0;
    for (const Place& place : places_) n += place.view.rows * place.view.cols * 4;
    return n;
  }

 private:
  struct Place {
    std::string name;
    View view;
    std::vector<float> values;
  };
  std::vector<Place> places_;
};

}  // namespace naru::train
