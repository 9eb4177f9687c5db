// Selection of experts (docs/arithmetic.md section 6) and its gradient: an item a token, whose scores, keys and chosen
// lie in `work`: three rows of `experts` floats.
DEVICE void expert_scores(const GLOBAL float* logits, i64 n, i64 is_sigmoid, GLOBAL float* scores) {
  if (is_sigmoid) {
    for (i64 e = 0; e < n; ++e) scores[e] = sigmoid_(logits[e]);
    return;
  }
  const float m = row_max_(logits, n);
  for (i64 e = 0; e < n; ++e) scores[e] = exp_(sub_(logits[e], m));
  float l;
  ROW_REDUCE(l, n, i, lane, add_(lane, scores[i]));
  for (i64 e = 0; e < n; ++e) scores[e] = div_(scores[e], l);
}
// The best of [begin, end) by ranking that `taken` does not hold; -1: none.
DEVICE i64 best_of(const GLOBAL float* keys, const GLOBAL float* taken, i64 begin, i64 end) {
  i64 best = -1;
  for (i64 e = begin; e < end; ++e) {
    if (taken[e] == 0.0f && (best < 0 || ranks_before(keys[e], e, keys[best], best))) best = e;
  }
  return best;
}

// Marks as those of check_selected.
KERNEL(4, 1) check_given(HEAD, VIEW(int, chosen), MEM(int, marks), i64 rows, i64 experts, i64 n_chosen) {
  USE(int, chosen);
  USE(int, marks);
  FOR_ROWS (t, rows) {
    i64 before = -1, bad = 0;
    for (i64 s = 0; s < n_chosen && bad == 0; ++s) {
      const i64 expert = chosen[t * chosen_stride + s];
      if (expert <= before || expert >= experts) {
        bad = s + 1;
      } else {
        before = expert;
      }
    }
    if (bad != 0) {
      CLAIM(status_base, 0, (int)number);
      marks[4 * t] = (int)bad;
      marks[4 * t + 1] = chosen[t * chosen_stride + bad - 1];
      marks[4 * t + 2] = (int)before;
    }
  }
}

// group_score: 0 none, 1 by the largest key, 2 by the sum of the two largest.
KERNEL(4, 1)
route(HEAD, VIEW(float, logits), MEM(float, bias), VIEW(int, chosen), VIEW(float, gates), MEM(float, work), i64 rows,
      i64 experts, i64 n_chosen, i64 has_bias, i64 is_sigmoid, i64 group_score, i64 n_group, i64 topk_group,
      i64 normalise, i64 is_given, float scale) {
  USE(float, logits);
  USE(float, bias);
  USE(int, chosen);
  USE(float, gates);
  USE(float, work);
  FOR_ROWS (t, rows) {
    GLOBAL float *scores = work + t * 3 * experts, *keys = scores + experts, *taken = keys + experts;
    expert_scores(logits + t * logits_stride, experts, is_sigmoid, scores);
    GLOBAL int* list = chosen + t * chosen_stride;
    if (!is_given) {
      for (i64 e = 0; e < experts; ++e) {
        keys[e] = has_bias ? add_(scores[e], bias[e]) : scores[e];
        taken[e] = 0.0f;
      }
      if (group_score != 0) {
        // taken: 1 in groups that do not stay, 2 in those that do until all are found.
        const i64 size = experts / n_group;
        for (i64 kept = 0; kept < topk_group; ++kept) {
          i64 best = -1;
          float best_key = 0.0f;
          for (i64 g = 0; g < n_group; ++g) {
            if (taken[g * size] != 0.0f) continue;
            const i64 first = best_of(keys, taken, g * size, (g + 1) * size);
            float key = keys[first];
            if (group_score == 2 && size > 1) {
              taken[first] = 1.0f;
              key = add_(key, keys[best_of(keys, taken, g * size, (g + 1) * size)]);
              taken[first] = 0.0f;
            }
            if (best < 0 || ranks_before(key, g, best_key, best)) best = g, best_key = key;
          }
          for (i64 e = best * size; e < (best + 1) * size; ++e) taken[e] = 2.0f;
        }
        for (i64 e = 0; e < experts; ++e) taken[e] = taken[e] == 2.0f ? 0.0f : 1.0f;
      }
      for (i64 s = 0; s < n_chosen; ++s) taken[best_of(keys, taken, 0, experts)] = 3.0f;
      i64 s = 0;
      for (i64 e = 0; e < experts; ++e) {
        if (taken[e] == 3.0f) list[s++] = (int)e;
      }
    }
    float sum;
    ROW_REDUCE(sum, n_chosen, i, lane, add_(lane, scores[list[i]]));
    for (i64 s = 0; s < n_chosen; ++s) {
      const float gate = scores[list[s]];
      gates[t * gates_stride + s] = mul_(normalise ? div_(gate, add_(sum, 1e-20f)) : gate, scale);
    }
  }
}

// Takes from each x the mean of x by the shares, twice.
DEVICE void remove_mean(GLOBAL float* x, const GLOBAL float* shares, i64 n) {
  for (int pass = 0; pass < 2; ++pass) {
    float mean;
    ROW_REDUCE(mean, n, i, lane, fma_(x[i], shares[i], lane));
    for (i64 i = 0; i < n; ++i) x[i] = sub_(x[i], mean);
  }
}

KERNEL(4, 1)
route_grad(HEAD, VIEW(float, logits), VIEW(int, chosen), VIEW(float, dgates), VIEW(float, dscores),
           VIEW(float, dlogits), MEM(float, work), i64 rows, i64 experts, i64 n_chosen, i64 has_dscores, i64 is_sigmoid,
           i64 normalise, float scale) {
  USE(float, logits);
  USE(int, chosen);
  USE(float, dgates);
  USE(float, dscores);
  USE(float, dlogits);
  USE(float, work);
  FOR_ROWS (t, rows) {
    GLOBAL float *a = work + t * 4 * experts, *u = a + experts, *h = u + experts, *shares = h + experts;
    const GLOBAL int* list = chosen + t * chosen_stride;
    expert_scores(logits + t * logits_stride, experts, is_sigmoid, a);
    for (i64 e = 0; e < experts; ++e) u[e] = 0.0f;
    for (i64 s = 0; s < n_chosen; ++s) {
      h[s] = mul_(dgates[t * dgates_stride + s], scale);
      shares[s] = a[list[s]];
    }
    if (normalise) {
      float sum;
      ROW_REDUCE(sum, n_chosen, i, lane, add_(lane, shares[i]));
      const float d = add_(sum, 1e-20f);
      for (i64 s = 0; s < n_chosen; ++s) shares[s] = div_(shares[s], d);
      remove_mean(h, shares, n_chosen);
      for (i64 s = 0; s < n_chosen; ++s) h[s] = div_(h[s], d);
    }
    for (i64 s = 0; s < n_chosen; ++s) u[list[s]] = h[s];
    for (i64 e = 0; e < experts && has_dscores; ++e) u[e] = add_(u[e], dscores[t * dscores_stride + e]);
    GLOBAL float* out = dlogits + t * dlogits_stride;
    if (is_sigmoid) {
      for (i64 e = 0; e < experts; ++e) out[e] = mul_(u[e], mul_(a[e], sigmoid_(neg_(logits[t * logits_stride + e]))));
    } else {
      remove_mean(u, a, experts);
      for (i64 e = 0; e < experts; ++e) out[e] = mul_(a[e], u[e]);
    }
  }
}
