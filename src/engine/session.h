// Session: one growing sequence with its cache. Engine::step() appends tokens; truncate() and restore() go back. Pages
// are shared by reference with snapshots and with the prefix cache, and copied when a shared one would be written, so
// going back and branching cost no arithmetic.
//
// A session, and every snapshot of it, must be destroyed before its engine. All calls from the engine's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"

namespace naru::engine {

struct EngineState;

// The state of a session at one moment. Holds its pages until destroyed.
class Snapshot {
 public:
  Snapshot(Snapshot&& other) noexcept;
  Snapshot& operator=(Snapshot&& other) noexcept;
  ~Snapshot();
  int64_t length() const { return static_cast<int64_t>(ids_.size()); }

 private:
  friend class Session;
  explicit Snapshot(EngineState* state) : state_(state) {}
  void release();

  EngineState* state_;
  uint64_t scope_ = 0;
  std::vector<int32_t> ids_;
  std::vector<int32_t> pages_;
};

class Session {
 public:
  // Frees everything it alone holds.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Tokens whose rows are in the cache.
  const std::vector<int32_t>& ids() const { return ids_; }
  int64_t length() const { return static_cast<int64_t>(ids_.size()); }
  // Pages held, shared ones counted in full.
  int64_t n_pages() const { return static_cast<int64_t>(pages_.size()); }

  // Forgets all but the first n tokens, n <= length().
  void truncate(int64_t n);
  // The same behind a feed with guesses: the tokens that stay are guesses no more, and their full pages are shared.
  void settle(int64_t n);

  Snapshot snapshot() const;
  // Becomes the snapshot's sequence; the snapshot stays. From the same engine and cache scope.
  void restore(const Snapshot& snapshot);

  // Extends the session by pages of the prefix cache as far as `ids`, of which ids() must be the beginning, is found
  // there; at most to ids.size() - 1, so that the last token's logits are still computed. Returns the tokens gained. 0
  // where length() is no multiple of a page or sharing is off.
  int64_t adopt_prefix(std::span<const int32_t> ids);

 private:
  friend class Engine;
  friend struct EngineState;
  Session(EngineState* state, uint64_t scope) : state_(state), scope_(scope) {}

  EngineState* state_;
  uint64_t scope_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> pages_;  // page i holds positions [i * kCachePage, (i + 1) * kCachePage)
  int64_t n_shared_ = 0;        // of the pages, the first ones, that are known to be in the prefix cache
};

}  // namespace naru::engine
