#include "train/batch_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "contract/cache.h"
#include "train/document_pages.h"

namespace naru::train {
namespace {

TrainingRoom room_of(const data::MicroSize& size) {
  return {.rows = size.tokens, .pages = size.pages, .documents = size.documents};
}

}  // namespace

DocumentBatches::DocumentBatches(data::BatchStream stream, const std::vector<recipes::SourceRecipe>& sources)
    : stream_(std::move(stream)), sources_(&sources) {}

data::StreamRecord DocumentBatches::record() const {
  return record_of(stream_, *sources_);
}

Result<TrainingRoom> DocumentBatches::largest(int64_t n_steps, const std::function<bool()>& should_stop) {
  TrainingRoom room{.rows = 1, .pages = 1, .documents = 1};
  NARU_ASSIGN(const data::MicroSize most, stream_.largest(n_steps, contract::kCachePage, should_stop));
  widen(room, room_of(most));
  return room;
}

Status DocumentBatches::restore(int64_t step, std::string_view kept) {
  if (kept.empty()) return {};
  return Error{Code::kCorrupt, fmt::format("resuming at step {}: the checkpoint keeps {} bytes of batches, and batches "
                                           "of documents are made from the documents alone; it is of another run: "
                                           "start in a new output folder, or move this checkpoint away",
                                           step, kept.size())};
}

void widen(TrainingRoom& room, const TrainingRoom& other) {
  room.rows = std::max(room.rows, other.rows);
  room.pages = std::max(room.pages, other.pages);
  room.documents = std::max(room.documents, other.documents);
}

void widen(TrainingRoom& room, const data::StepBatch& batch) {
  for (const data::MicroBatch& micro : batch.micro_batches) {
    widen(room, room_of({std::ssize(micro.ids), pages_of(micro), std::ssize(micro.documents)}));
  }
}

Status widen_to_all_rows(TrainingRoom& room, const data::BatchStream& stream, int64_t rows_max,
                         const std::function<bool()>& should_stop) {
  NARU_ASSIGN(const data::MicroSize most, stream.largest_of_all(rows_max, contract::kCachePage, should_stop));
  widen(room, room_of(most));
  return {};
}

}  // namespace naru::train
