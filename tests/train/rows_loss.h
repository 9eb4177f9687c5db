// A loss of rows of logits that is one function of them.
#pragma once

#include <memory>

#include "train/objective.h"

namespace naru::train {

class RowsLoss : public LogitsLoss {
 public:
  virtual Status run(contract::Chip& chip, nn::Workspace& workspace, const data::MicroBatch& batch,
                     const LogitRows& rows) const = 0;

  Result<std::unique_ptr<LogitsPass>> begin(contract::Chip& chip, nn::Workspace& workspace,
                                            const data::MicroBatch& batch) const override {
    return std::unique_ptr<LogitsPass>(std::make_unique<Pass>(*this, chip, workspace, batch));
  }

 private:
  class Pass : public LogitsPass {
   public:
    Pass(const RowsLoss& of, contract::Chip& chip, nn::Workspace& workspace, const data::MicroBatch& batch)
        : of_(of), chip_(chip), workspace_(workspace), batch_(batch) {}
    Status run(const LogitRows& rows) override { return of_.run(chip_, workspace_, batch_, rows); }

   private:
    const RowsLoss& of_;
    contract::Chip& chip_;
    nn::Workspace& workspace_;
    const data::MicroBatch& batch_;
  };
};

}  // namespace naru::train
