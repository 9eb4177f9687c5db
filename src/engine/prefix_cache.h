// PrefixCache: pages of past and present sequences, found again by their exact tokens. A tree whose edges are runs of
// kCachePage tokens, compared token by token (no hash that could collide); each node holds one reference to the page of
// its run. Scopes do not see each other.
//
// When pages run out the least recently used leaf that nobody else holds is given up. A node is always used more
// recently than its descendants, so the last of the list is a leaf.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "engine/cache_pool.h"

namespace naru::engine {

class PrefixCache {
 public:
  explicit PrefixCache(CachePool& pool) : pool_(pool) {}
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // Appends to `pages`, which hold the first pages.size() runs of `ids`, the pages of the runs that follow, as far as
  // they are found and at most until `pages_max` in all. A reference to each is the caller's.
  void extend(uint64_t scope, std::span<const int32_t> ids, int64_t pages_max, std::vector<int32_t>& pages);

  // Takes over the first n_full pages, which are the runs of `ids`. Where a run is here already with another page, the
  // caller's page is replaced by that one: both hold the same bits.
  void insert(uint64_t scope, std::span<const int32_t> ids, int64_t n_full, std::vector<int32_t>& pages);

  // Gives up one page that only the cache holds. False where there is none.
  bool evict_one();
  int64_t n_evictions() const { return n_evictions_; }

 private:
  using Run = std::array<int32_t, contract::kCachePage>;
  struct Node;
  using Children = std::map<Run, std::unique_ptr<Node>>;
  struct Node {
    Children children;
    Children* siblings = nullptr;  // where this node is
    Children::iterator self;
    Node* parent = nullptr;  // null for the first run of a sequence
    uint64_t scope = 0;
    int32_t page = -1;
    std::list<Node*>::iterator used;
  };

  static Run run_at(std::span<const int32_t> ids, int64_t page_index);
  // Makes the node and its ancestors the most recently used, ancestors first.
  void touch(Node* node);
  void remove(Node* node);

  CachePool& pool_;
  std::map<uint64_t, Children> scopes_;
  std::list<Node*> used_;  // most recent first
  int64_t n_evictions_ = 0;
};

}  // namespace naru::engine
