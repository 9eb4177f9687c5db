#include "train/batch_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "train/document_pages.h"

namespace naru::train {
namespace {

constexpr int64_t kStepsLookedAt = 2000;  // for the largest micro-batch

}  // namespace

DocumentBatches::DocumentBatches(data::BatchStream stream, const std::vector<recipes::SourceRecipe>& sources)
    : stream_(std::move(stream)), sources_(&sources) {}

data::StreamRecord DocumentBatches::record() const {
  return record_of(stream_, *sources_);
}

Result<TrainingRoom> DocumentBatches::largest(int64_t n_steps) {
  TrainingRoom room{.rows = 1, .pages = 1, .documents = 1};
  for (int64_t step = 0; step < std::min(n_steps, kStepsLookedAt); ++step) {
    NARU_ASSIGN(const data::StepBatch batch, stream_.step(step));
    widen(room, batch);
  }
  return room;
}

Status DocumentBatches::restore(int64_t step, std::string_view kept) {
  if (kept.empty()) return {};
  return Error{Code::kCorrupt, fmt::format("resuming at step {}: the checkpoint keeps {} bytes of batches, and batches "
                                           "of documents are made from the documents alone; it is of another run: "
                                           "start in a new output folder, or move this checkpoint away",
                                           step, kept.size())};
}

void widen(TrainingRoom& room, const data::StepBatch& batch) {
  for (const data::MicroBatch& micro : batch.micro_batches) {
    room.rows = std::max(room.rows, std::ssize(micro.ids));
    room.pages = std::max(room.pages, pages_of(micro));
    room.documents = std::max(room.documents, std::ssize(micro.documents));
  }
}

}  // namespace naru::train
