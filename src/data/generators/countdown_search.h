// A search for countdown as a model can write it, which ends at an answer:
//
//   36-7=29 36+7=43|12+4=16 12-4=8 12*4=48 12/4=3
//   36-12=24 36+12=48 36/12=3|7+4=11 7-4=3 3*12=36
//
// Each line leaves one number out: before the bar what the other two would have to give, so that it and the one left
// out make the target; behind the bar what they do give, until that is among it. Then it is checked that the target
// comes out, here (7 - 4) * 12. One in three of what is only near is checked too, and the search goes on: so that a
// model that took one number for another learns to see it. Of four numbers two are joined first, in a line of their
// own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/generators/countdown_terms.h"
#include "data/generators/draws.h"

namespace naru::data {

struct Search {
  std::string trace;
  Term found;
};

// From three terms to the target, leaving them out in an order that is drawn. Numbers above 120 are not looked at:
// three problems of a thousand are not solved so, and there is nothing then.
std::optional<Search> search_three(const std::vector<Term>& terms, int64_t target, Draws& draws);

}  // namespace naru::data
