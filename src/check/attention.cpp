// Suites of the cache and of attention over it, with and without selected positions, and of its gradient. Documents are
// fed in steps: all at once, `chunk` positions of each at a time, or all but their `last` positions first. The rows of
// operands lie in the order in which they are fed.
#include <optional>

#include "check/attention_batch.h"
#include "check/suite.h"

namespace naru::check {
namespace {

constexpr int64_t kPositionsMax = 1 << 16;

// The words of a kind and the dimensions that a row of the tables below has.
struct Config {
  std::string kind;
  int64_t heads, key_heads, width, value_width;
  int64_t scale_log2 = -3;
};
const Config kConfigs[] = {{"f32/grouped", 3, 1, 16, 16}, {"bf16/grouped", 3, 1, 16, 16},
                           {"f32/grouped", 4, 2, 33, 17}, {"bf16/grouped", 4, 2, 33, 17},
                           {"f32/latent", 5, 1, 40, 24},  {"bf16/latent", 5, 1, 40, 24}};
const Config kGradConfigs[] = {{"f32/grouped", 2, 2, 16, 16}, {"bf16/grouped", 2, 2, 16, 16},
                               {"f32/grouped", 4, 2, 33, 17}, {"bf16/grouped", 4, 2, 33, 17},
                               {"f32/latent", 5, 1, 40, 24},  {"bf16/latent", 5, 1, 40, 24}};
// The same forms for long documents, which the reference chip takes long for.
const Config kNarrowConfigs[] = {
    {"f32/grouped", 2, 1, 4, 3}, {"bf16/grouped", 2, 1, 4, 3}, {"f32/latent", 3, 1, 5, 3}, {"bf16/latent", 3, 1, 5, 3}};
constexpr const char* kDTypes[] = {"f32", "bf16"};
constexpr const char* kLists[] = {"all", "own", "first", "sparse", "most", "pages", "recent", "mixed"};
constexpr int64_t kListed = 20;  // of lists of kind "few"

struct Feed {
  std::vector<int64_t> lengths;
  int64_t chunk = 0;
  std::vector<int64_t> last = {0};
};

Case& add(CaseList& list, const Config& config, const std::string& behind, const Feed& feed,
          Values values = Values::kPlain) {
  return list.add(config.kind + behind,
                  {{"heads", {config.heads}},
                   {"key_heads", {config.key_heads}},
                   {"width", {config.width}},
                   {"value_width", {config.value_width}},
                   {"scale_log2", {config.scale_log2}},
                   {"lengths", feed.lengths},
                   {"chunk", {feed.chunk}},
                   {"last", feed.last}},
                  values);
}

// One document in chunks of several sizes, with the same values: what is wanted of them is the same (0: in one piece).
void add_chunks(CaseList& list, const Config& config, int64_t n, std::initializer_list<int64_t> chunks,
                Values values = Values::kPlain, bool is_large = false) {
  std::optional<uint64_t> seed;
  for (const int64_t chunk : chunks) {
    Case& c = add(list, config, "/every/no_stats", {{n}, chunk}, values);
    c.is_large = is_large;
    c.seed = seed.value_or(c.seed);
    seed = c.seed;
  }
}

// ---- forward

void add_lengths(CaseList& list) {
  for (const Config& config : kConfigs) {
    for (const int64_t n : {1, 2, 31, 32, 33, 64}) add_chunks(list, config, n, {0, 1, 5});
    for (const int64_t n : {511, 512, 513}) add(list, config, "/every/stats", {{n}, 0, {90}}).is_large = true;
    add_chunks(list, config, 600, {0, 32, 97}, Values::kPlain, true);
    add(list, config, "/every/no_stats", {{1030}, 0, {40}}).is_large = true;
    // Several sequences in one batch, some with one row and some with many, at depths of their own.
    add(list, config, "/every/no_stats", {{1, 33, 530, 64, 97, 513, 2}, 0, {1, 1, 40, 64, 2, 1, 2}}).is_large =
        config.width > 16;
    add(list, config, "/every/stats", {{1, 33, 70, 64, 97, 2}, 30});
  }
}

// One row at each depth.
void add_depths(CaseList& list) {
  for (const Config& config : {Config{"f32/grouped", 9, 3, 64, 64}, Config{"bf16/grouped", 9, 3, 64, 64},
                               Config{"bf16/latent", 16, 1, 576, 512}, Config{"f32/latent", 4, 1, 160, 128}}) {
    for (const int64_t depth : {1, 31, 32, 33, 511, 512, 513, 1030}) {
      add(list, config, "/every/no_stats", {{depth}, 0, {1}});
    }
  }
  for (const Config& config : kGradConfigs) {
    add(list, config, "/most/no_stats", {{700, 1, 90, 33, 1100}, 0, {1, 5, 1, 5, 1}}).is_large = true;
    add(list, config, "/most/no_stats", {{700}, 0, {1}}).is_large = true;
    for (const char* lists : kLists) add(list, config, "/" + std::string(lists) + "/stats", {{45, 20}, 7});
  }
}

void add_widths(CaseList& list) {
  for (const std::string dtype : kDTypes) {
    for (const int64_t width : {1, 2, 3, 4, 15, 16, 17, 31, 32, 47, 80, 192, 1024}) {
      add(list, {dtype + "/grouped", 2, 1, width, width}, "/every/no_stats", {{37}});
      add_chunks(list, {dtype + "/latent", 3, 1, width, (width + 2) / 3}, 37, {0, 9});
    }
    add_chunks(list, {dtype + "/grouped", 4, 4, 192, 128}, 70, {0, 33});
    add_chunks(list, {dtype + "/grouped", 14, 2, 64, 64}, 75, {0, 33});
  }
}

void add_values(CaseList& list) {
  for (const std::string dtype : kDTypes) {
    for (const char* form : {"/grouped", "/latent"}) {
      // The scale lifts products of tiny operands into the range where each bit of a score counts.
      add(list, {dtype + form, 3, 1, 20, 20, 122}, "/every/no_stats", {{45}, 7}, Values::kTiny);
      for (const int64_t scale : {0, -100, -126}) {
        add(list, {dtype + form, 3, 1, 24, 24, scale}, "/every/no_stats", {{45}, 11}, Values::kWide);
      }
    }
    add_chunks(list, {dtype + "/grouped", 3, 1, 20, 20, 3}, 600, {0, 50}, Values::kPlain, true);  // steep
    add(list, {dtype + "/grouped", 3, 1, 24, 24}, "/every/no_stats", {{530}, 101}, Values::kNotFinite).is_large = true;
  }
}

std::vector<Case> attention_cases() {
  CaseList list("attention");
  add_lengths(list);
  add_depths(list);
  add_widths(list);
  add_values(list);
  return list.take();
}

// ---- gradient

Case& add_grad(CaseList& list, const Config& config, const std::string& behind, const std::vector<int64_t>& lengths,
               Values values = Values::kPlain) {
  return list.add(config.kind + behind,
                  {{"heads", {config.heads}},
                   {"key_heads", {config.key_heads}},
                   {"width", {config.width}},
                   {"value_width", {config.value_width}},
                   {"scale_log2", {config.scale_log2}},
                   {"lengths", lengths}},
                  values);
}

void add_grad_lengths(CaseList& list) {
  for (const Config& config : kGradConfigs) {
    for (const int64_t n : {1, 2, 31, 32, 33, 65, 97}) add_grad(list, config, "/every", {n});
    for (const int64_t n : {1, 2, 33, 97}) add_grad(list, config, "/most", {n});
    for (const char* lists : kLists) add_grad(list, config, "/" + std::string(lists), {45});
    for (const char* lists : {"/every", "/most"}) add_grad(list, config, lists, {1, 40, 33, 2, 64, 31});
  }
  for (const Config& config : {kGradConfigs[0], kGradConfigs[3], kGradConfigs[4], kGradConfigs[5]}) {
    add_grad(list, config, "/every", std::vector<int64_t>(12, 37)).is_large = true;
  }
  for (const std::string dtype : kDTypes) {  // wide ones too, beyond a segment of 512
    add_grad(list, {dtype + "/grouped", 1, 1, 33, 17}, "/every", {530}).is_large = true;
    add_grad(list, {dtype + "/latent", 1, 1, 40, 24}, "/every", {530}).is_large = true;
  }
  for (const Config& config : kNarrowConfigs) {
    add_grad(list, config, "/every", {5, 300, 70, 513, 100, 1, 32}).is_large = true;
    add_grad(list, config, "/sparse", {5, 300, 70, 100, 1, 32}).is_large = true;
    // Lists of more than a segment of 512, which begin and end anywhere in it, on documents that threads share.
    add_grad(list, config, "/most", {620, 40}).is_large = true;
  }
}

// Scores of more than a segment of 512, dots of more than one of 2048: every segment of queries joins dk and dv, every
// segment of keys dq.
void add_grad_segments(CaseList& list) {
  add_grad(list, {"f32/grouped", 1, 1, 3, 3}, "/most", {1250}).is_large = true;
  for (const std::string dtype : kDTypes) {
    add_grad(list, {dtype + "/grouped", dtype == "f32" ? 2 : 1, 1, 2, 1}, "/every", {40, 2055}).is_large = true;
    add_grad(list, {dtype + "/latent", 1, 1, 2, 1}, "/every", {2049}).is_large = true;
    add_grad(list, {dtype + "/grouped", 1, 1, 2, 1}, "/most", {40, 2365}).is_large = true;
    // Few heads on long documents: two threads share one.
    add_grad(list, {dtype + "/grouped", 1, 1, 20, 20}, "/every", {700}).is_large = true;
    add_grad(list, {dtype + "/grouped", 6, 2, 20, 12}, "/every", {300, 30}).is_large = true;
    add_grad(list, {dtype + "/latent", 4, 1, 24, 16}, "/every", {400}).is_large = true;
  }
  add_grad(list, {"f32/grouped", 1, 1, 1, 1}, "/every", {4099}).is_large = true;
  add_grad(list, {"f32/grouped", 1, 1, 1, 1}, "/recent", {2100}).is_large = true;
}

void add_grad_widths(CaseList& list) {
  for (const std::string dtype : kDTypes) {
    for (const char* lists : {"/every", "/most"}) {
      for (const int64_t width : {1, 5, 8, 15, 16, 24, 33, 48, 64, 80, 192}) {
        add_grad(list, {dtype + "/grouped", 2, 1, width, width}, lists, {37});
        add_grad(list, {dtype + "/latent", 3, 1, width, (width + 2) / 3}, lists, {37});
      }
      add_grad(list, {dtype + "/grouped", 4, 4, 24, 80}, lists, {70});
      add_grad(list, {dtype + "/grouped", 4, 1, 80, 5}, lists, {70});
    }
    add_grad(list, {dtype + "/latent", 4, 1, 64, 48}, "/every", {100, 33});
    for (const char* form : {"/grouped", "/latent"}) {
      list.add(dtype + form + "/few", {{"heads", {5}},
                                       {"key_heads", {1}},
                                       {"width", {24}},
                                       {"value_width", {16}},
                                       {"lengths", {97, 33}},
                                       {"listed", {kListed}}});
    }
    add_grad(list, {dtype + "/latent", 1, 1, 576, 512, -4}, "/every", {40}).is_large = true;
    add_grad(list, {dtype + "/grouped", 1, 1, 640, 640, -4}, "/every", {40}).is_large = true;
    add_grad(list, {dtype + "/latent", 13, 1, 576, 512, -4}, "/most", {40}).is_large = true;
    add_grad(list, {dtype + "/latent", 130, 1, 8, 6}, "/sparse", {40}).is_large = true;
  }
}

void add_grad_values(CaseList& list) {
  for (const std::string dtype : kDTypes) {
    for (const char* form : {"/grouped", "/latent"}) {
      for (const char* lists : {"/every", "/most"}) {
        add_grad(list, {dtype + form, 3, 1, 20, 20, 122}, lists, {45}, Values::kTiny);
        add_grad(list, {dtype + form, 2, 1, 12, 12}, lists, {70}, Values::kLow);  // gradients that almost vanish
        add_grad(list, {dtype + form, 3, 1, 20, 12}, lists, {70, 40}, Values::kNotFinite);
        for (const int64_t scale : {0, -100, -126}) {
          add_grad(list, {dtype + form, 3, 1, 24, 24, scale}, lists, {45, 20}, Values::kWide);
        }
      }
    }
    add_grad(list, {dtype + "/grouped", 3, 1, 20, 20, 3}, "/every", {300}).is_large = true;  // steep
    add_grad(list, {dtype + "/grouped", 1, 1, 20, 20, 10}, "/every", {100});
    add_grad(list, {dtype + "/grouped", 3, 1, 20, 20, 3}, "/most", {200});
    add_grad(list, {dtype + "/grouped", 1, 1, 20, 20, 10}, "/sparse", {100});
  }
}

// Documents whose last positions alone have queries: what stands before is of other rows.
void add_grad_prefixes(CaseList& list) {
  const auto add_last = [&](const Config& config, const std::vector<int64_t>& lengths, const std::vector<int64_t>& last,
                            Values values = Values::kPlain) -> Case& {
    Case& c = add_grad(list, config, "/every", lengths, values);
    c.dimensions.back().sizes = last;
    return c;
  };
  for (const Config& config : kGradConfigs) {
    for (const int64_t last : {1, 8, 16, 17, 31, 32, 33, 40}) add_last(config, {41}, {last});
    add_last(config, {41, 17, 96, 1, 33, 130}, {25, 17, 32, 1, 1, 5});
    add_last(config, {70, 40}, {20, 20}, Values::kNotFinite);
  }
  for (const Config& config : kNarrowConfigs) add_last(config, {300, 570, 100}, {100, 3, 100}).is_large = true;
  for (const Config& config : {kNarrowConfigs[0], kNarrowConfigs[3]}) {  // queries of two segments of a dot
    add_last(config, {2080}, {60}).is_large = true;
  }
}

std::vector<Case> attention_grad_cases() {
  CaseList list("attention_grad");
  add_grad_lengths(list);
  add_grad_segments(list);
  add_grad_widths(list);
  add_grad_values(list);
  add_grad_prefixes(list);
  return list.take();
}

// ---- writing to the cache

// Rows of each head in the first columns, one row for all heads (the rotary key of expanded latent attention) behind
// them; attention shows what the cache holds. The first `copied` rows are of a second sequence too.
Program build_cache_write(const Case& c) {
  Program p(c.drawing());
  const int64_t copied = std::min(c.at("copied"), c.at("rows"));
  const int64_t rows = c.at("rows"), heads = c.at("heads"), width = c.at("width"), shared = c.at("shared_width");
  const DType dtype = c.is("bf16") ? DType::kBF16 : DType::kF32;
  const int64_t n_pages = rows / contract::kCachePage + 2 + (copied + contract::kCachePage - 1) / contract::kCachePage;
  std::vector<int32_t> pages;
  for (int64_t i = n_pages; i-- > 0;) pages.push_back(static_cast<int32_t>(i));
  const contract::SequenceRows all{0, rows, 0, pages.data()};
  const contract::SequenceRows copy{0, copied, 0, pages.data() + all.n_pages()};
  const contract::SequencesRef sequences = p.sequences({&all, 1});
  const std::vector<contract::SequenceRows> both = {all, copy};
  const contract::SequencesRef written = copied > 0 ? p.sequences(both) : sequences;
  const contract::CacheStream key = p.stream({heads, width + shared, dtype, contract::CacheUse::kKey}, n_pages);
  const contract::CacheStream value = p.stream({heads, width, dtype, contract::CacheUse::kValue}, n_pages);
  p.run(contract::CacheWrite{.x = p.drawn(1, rows * heads, width), .stream = key, .column = 0, .sequences = written});
  if (shared > 0) {
    const View row = p.drawn(2, rows, shared);
    p.run(contract::CacheWrite{.x = row, .stream = key, .column = width, .sequences = written});
  }
  const View v = p.drawn(3, rows * heads, width);
  p.run(contract::CacheWrite{.x = v, .stream = value, .column = 0, .sequences = written});
  const View q = p.plain(4, rows * heads, width + shared);
  const auto attend = [&](contract::SequencesRef to, int64_t n, const char* name) {
    p.run(contract::Attention{.q = q.slice_rows(0, n * heads),
                              .key = key,
                              .value = value,
                              .heads = heads,
                              .scale = 0.2f,
                              .sequences = to,
                              .out = p.output(name, n * heads, width)});
  };
  attend(sequences, rows, "out");
  if (copied > 0) attend(p.sequences({&copy, 1}), copied, "copied_out");
  return p;
}

std::vector<Case> cache_write_cases() {
  CaseList list("cache_write");
  for (const char* dtype : kDTypes) {
    for (const int64_t shared : {0, 8}) {
      for (const Values values : {Values::kPlain, Values::kWide, Values::kLow, Values::kNotFinite}) {
        list.add(dtype, {{"rows", {40}}, {"heads", {4}}, {"width", {16}}, {"shared_width", {shared}}}, values);
        list.add(dtype, {{"rows", {3}}, {"heads", {1}}, {"width", {33}}, {"shared_width", {shared}}}, values);
      }
    }
  }
  for (const char* dtype : kDTypes) {
    for (const int64_t shared : {0, 8}) {
      for (const Values values : {Values::kPlain, Values::kNotFinite}) {
        list.add(dtype, {{"rows", {70}}, {"heads", {3}}, {"width", {16}}, {"shared_width", {shared}}, {"copied", {37}}},
                 values);
        list.add(dtype, {{"rows", {5}}, {"heads", {1}}, {"width", {9}}, {"shared_width", {shared}}, {"copied", {5}}},
                 values);
      }
    }
  }
  return list.take();
}

}  // namespace

std::vector<Suite> attention_suites() {
  const std::vector<std::string_view> dtypes = {"f32", "bf16"}, forms = {"grouped", "latent"};
  std::vector<std::string_view> lists = {"every"};
  for (const char* name : kLists) lists.push_back(name);
  lists.push_back("few");
  const DimensionRange lengths{"lengths", 1, kPositionsMax, {}, true};
  std::vector<DimensionRange> shape = {{"heads", 1, 1024},
                                       {"key_heads", 1, 1024},
                                       {"width", 1, contract::kSegmentWidthMax},
                                       {"value_width", 1, contract::kSegmentWidthMax},
                                       {"scale_log2", -126, 126, -3},
                                       lengths,
                                       {"listed", 0, kPositionsMax, 0}};
  const DimensionRange last{"last", 0, kPositionsMax, 0, true};
  std::vector<DimensionRange> fed = shape, of_grad = shape;
  fed.push_back({"chunk", 0, kPositionsMax, 0});
  fed.push_back(last);
  of_grad.push_back(last);
  return {
      {"cache_write",
       {dtypes},
       {{"rows", 1, kPositionsMax},
        {"heads", 1, 256},
        {"width", 1, 1024},
        {"shared_width", 0, 1024, 0},
        {"copied", 0, kPositionsMax, 0}},
       [](const Case& c) {
         return 8 * area((c.at("rows") + 64) * c.at("heads"), c.at("width") + c.at("shared_width"));
       },
       fits,
       build_cache_write,
       cache_write_cases},
      {"attention",
       {dtypes, forms, lists, {"stats", "no_stats"}},
       fed,
       attention_elements,
       attention_misfit,
       build_attention,
       attention_cases},
      {"attention_grad",
       {dtypes, forms, lists},
       of_grad,
       attention_elements,
       attention_grad_misfit,
       build_attention_grad,
       attention_grad_cases},
  };
}

}  // namespace naru::check
