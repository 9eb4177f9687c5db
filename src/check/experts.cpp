// Suites of the experts' selection, its gradient and the balance loss.
#include "check/suite.h"

namespace naru::check {
namespace {

const DimensionRange kTokenRows{"rows", 1, 1 << 20}, kExperts{"experts", 1, 1 << 16}, kChosen{"chosen", 1, 1024};
// Of five tokens in the golden files.
const std::vector<int32_t> kGoldenChoice = {0, 7, 23, 1, 2, 3, 5, 11, 22, 0, 8, 16, 4, 5, 6};

contract::Scoring scoring_of(const Case& c) {
  return c.is("softmax") ? contract::Scoring::kSoftmax : contract::Scoring::kSigmoid;
}

std::string more_chosen_than_there_are(const Case& c) {
  if (c.at("chosen") <= c.at("experts")) return {};
  return "more experts are chosen than there are";
}

std::string groups_misfit(const Case& c) {
  const int64_t experts = c.at("experts"), groups = c.at("groups"), kept = c.at("kept");
  if (experts % groups != 0) return "the groups do not divide the experts";
  if (kept > groups) return "more groups are kept than there are";
  if (c.is("given") && !c.is("no_groups")) return "experts that are given have no groups";
  if (!c.is("no_groups") && c.at("chosen") > experts / groups * kept) {
    return "more experts are chosen than the kept groups have";
  }
  return more_chosen_than_there_are(c);
}

// Ascending distinct experts of each token.
View chosen_experts(Program& p, const Case& c) {
  const int64_t rows = c.at("rows"), experts = c.at("experts"), chosen = c.at("chosen");
  std::vector<int32_t> ids;
  Filler filler = p.filler(63);
  for (int64_t t = 0; t < rows; ++t) {
    int64_t left = chosen;
    for (int64_t e = 0; e < experts && left > 0; ++e) {
      if (filler.below(experts - e) < left) ids.push_back(static_cast<int32_t>(e)), --left;
    }
  }
  return p.ints(c.is_golden() ? kGoldenChoice : ids, rows, chosen);
}

Program build_route(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), experts = c.at("experts"), chosen = c.at("chosen");
  const bool has_bias = c.is("bias_and_normalised"), is_given = c.is("given");
  const View logits = p.drawn(13, rows, experts);
  for (int64_t e = 0; e + 3 < experts && rows > 1 && !c.is_golden(); e += 3) {  // ties
    p.row(logits, 1)[e] = p.row(logits, 1)[0];
  }
  p.run(contract::Route{.logits = logits,
                        .bias = has_bias ? p.plain(14, 1, experts) : View{},
                        .scoring = scoring_of(c),
                        .group_score = c.is("no_groups")    ? contract::GroupScore::kNone
                                       : c.is("max_groups") ? contract::GroupScore::kMax
                                                            : contract::GroupScore::kTopTwoSum,
                        .n_group = c.at("groups"),
                        .topk_group = c.at("kept"),
                        .normalise = has_bias || is_given,
                        .scale = 2.5f,
                        .experts = is_given ? chosen_experts(p, c) : p.output("experts", rows, chosen, DType::kI32),
                        .gates = p.output("gates", rows, chosen),
                        .is_given = is_given});
  return p;
}

std::vector<Case> route_cases() {
  CaseList list("route");
  struct Shape {
    int64_t experts, chosen, groups, kept;
  };
  for (const Shape shape :
       {Shape{1, 1, 1, 1}, Shape{5, 3, 1, 1}, Shape{16, 16, 4, 4}, Shape{64, 6, 8, 3}, Shape{256, 8, 8, 4},
        Shape{160, 6, 8, 3}, Shape{33, 2, 11, 5}, Shape{7, 3, 7, 4}, Shape{1024, 32, 16, 7}}) {
    for (const Values values : kMostValues) {
      for (const char* scoring : {"softmax/", "sigmoid/"}) {
        for (const char* groups : {"no_groups/", "max_groups/", "top_two_groups/"}) {
          for (const char* how : {"as_is", "bias_and_normalised", "given"}) {
            if (how == std::string("given") && groups != std::string("no_groups/")) continue;
            list.add(std::string(scoring) + groups + how,
                     {{"rows", {shape.experts == 256 ? 40 : 4}},
                      {"experts", {shape.experts}},
                      {"chosen", {shape.chosen}},
                      {"groups", {shape.groups}},
                      {"kept", {shape.kept}}},
                     values);
          }
        }
      }
    }
  }
  return list.take();
}

Program build_route_grad(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), experts = c.at("experts"), chosen = c.at("chosen");
  const View logits = p.drawn(59, rows, experts), ids = chosen_experts(p, c), dgates = p.drawn(60, rows, chosen);
  p.run(contract::RouteGrad{.logits = logits,
                            .experts = ids,
                            .dgates = dgates,
                            .dscores = c.is("dscores") ? p.drawn(61, rows, experts) : View{},
                            .scoring = scoring_of(c),
                            .normalise = c.is("normalised"),
                            .scale = 2.5f,
                            .dlogits = p.output("dlogits", rows, experts)});
  return p;
}

std::vector<Case> route_grad_cases() {
  CaseList list("route_grad");
  struct Shape {
    int64_t rows, experts;
  };
  for (const Shape shape : {Shape{1, 8}, Shape{31, 15}, Shape{9, 17}, Shape{513, 16}, Shape{70, 256}, Shape{3, 2049}}) {
    for (int64_t chosen = 1; chosen <= 8; ++chosen) {
      for (const Values values : kMostValues) {
        if (values != Values::kPlain && chosen != 1 && chosen != 3 && chosen != 8) continue;
        for (const char* scoring : {"softmax/", "sigmoid/"}) {
          for (const char* how : {"as_is/no_dscores", "as_is/dscores", "normalised/no_dscores", "normalised/dscores"}) {
            list.add(std::string(scoring) + how,
                     {{"rows", {shape.rows}}, {"experts", {shape.experts}}, {"chosen", {chosen}}}, values);
          }
        }
      }
    }
  }
  return list.take();
}

// Up to three documents that leave out rows between and after them; the middle one is the longest.
std::vector<contract::SequenceRows> documents_of(const Case& c, const int32_t* pages) {
  const int64_t end = c.at("rows") - 2;
  std::vector<contract::SequenceRows> documents = {{0, 5, 0, pages}, {6, end - 8, 0, pages}, {end - 1, 1, 0, pages}};
  if (c.is_golden()) documents = {{0, 3, 0, pages}, {3, 1, 0, pages}};
  documents.resize(static_cast<size_t>(c.at("documents")));
  return documents;
}

Program build_balance_loss(const Case& c) {
  Program p(c.drawing());
  const int64_t rows = c.at("rows"), experts = c.at("experts");
  const View logits = p.drawn(62, rows, experts), ids = chosen_experts(p, c);
  const std::vector<int32_t> no_pages(static_cast<size_t>(rows / contract::kCachePage + 2));  // nobody reads them
  const contract::SequencesRef documents = p.sequences(documents_of(c, no_pages.data()));
  p.run(contract::BalanceLoss{.logits = logits,
                              .experts = ids,
                              .scoring = scoring_of(c),
                              .weight = c.is_golden() ? 0.01f : 0.0003f,
                              .sequences = documents,
                              .loss = p.output("loss", c.at("documents"), 1),
                              .dscores = p.output("dscores", rows, experts)});
  return p;
}

std::vector<Case> balance_loss_cases() {
  CaseList list("balance_loss");
  struct Shape {
    int64_t rows, experts;
  };
  for (const Shape shape : {Shape{31, 8}, Shape{600, 15}, Shape{600, 100}, Shape{4200, 17}, Shape{70, 2049}}) {
    for (const int64_t chosen : {1, 2, 6, 8}) {
      for (const Values values : kMostValues) {
        for (const char* scoring : {"softmax", "sigmoid"}) {
          for (const int64_t documents : {0, 1, 3}) {
            if (values != Values::kPlain && (documents != 3 || chosen == 1 || chosen == 6)) continue;
            list.add(scoring,
                     {{"rows", {shape.rows}},
                      {"experts", {shape.experts}},
                      {"chosen", {chosen}},
                      {"documents", {documents}}},
                     values);
          }
        }
      }
    }
  }
  return list.take();
}

double choice_elements(const Case& c) {
  return 3 * area(c.at("rows"), c.at("experts")) + 3 * area(c.at("rows"), c.at("chosen"));
}

}  // namespace

std::vector<Suite> expert_suites() {
  const std::vector<std::string_view> scorings = {"softmax", "sigmoid"};
  const DimensionRange groups{"groups", 1, 1024, 1}, kept{"kept", 1, 1024, 1};
  return {
      {"route",
       {scorings, {"no_groups", "max_groups", "top_two_groups"}, {"as_is", "bias_and_normalised", "given"}},
       {kTokenRows, kExperts, kChosen, groups, kept},
       choice_elements,
       groups_misfit,
       build_route,
       route_cases},
      {"route_grad",
       {scorings, {"as_is", "normalised"}, {"no_dscores", "dscores"}},
       {kTokenRows, kExperts, kChosen},
       choice_elements,
       more_chosen_than_there_are,
       build_route_grad,
       route_grad_cases},
      {"balance_loss",
       {scorings},
       {kTokenRows, kExperts, kChosen, {"documents", 0, 3}},
       choice_elements,
       [](const Case& c) -> std::string {
         if (c.at("rows") < 11 && !c.is_golden()) return "three documents need 11 rows";
         return more_chosen_than_there_are(c);
       },
       build_balance_loss,
       balance_loss_cases},
  };
}

}  // namespace naru::check
