// Row functions, by groups of 16 x 4 items (sums.cl).
DEVICE float inverse_rms_(float squares, i64 n, float eps) {
  return div_(1.0f, sqrt_(add_(div_(squares, (float)n), eps)));
}
#define GROUP_SQUARES(result, x, n) GROUP_REDUCE(result, n, i, lane, fma_((x)[i], (x)[i], lane))
#define GROUP_EXP_SUM(result, x, n, m) GROUP_REDUCE(result, n, i, lane, add_(lane, exp_(sub_((x)[i], m))))

KERNEL(16, 4)
rms_norm(HEAD, VIEW(float, x), VIEW(float, weight), VIEW(float, out), MEM(int, marks), i64 rows, i64 cols, float eps) {
  USE(float, x);
  USE(float, weight);
  USE(float, out);
  USE(int, marks);
  ROW_LOCAL;
  ROW_GROUP(rows, cols);
  FOR_GROUP_ROWS {
    const GLOBAL float* row = x + t * x_stride;
    float squares;
    GROUP_SQUARES(squares, row, cols);
    if (is_there && IS_FINITE(squares)) {
      const float r = inverse_rms_(squares, cols, eps);
      for (i64 k = row_item; k < cols; k += row_items) out[t * out_stride + k] = mul_(mul_(row[k], r), weight[k]);
    } else if (is_there && row_item == 0) {
      FAIL(t, 1, squares);
    }
  }
}

KERNEL(16, 4)
log_prob(HEAD, VIEW(float, logits), VIEW(int, targets), VIEW(float, out), MEM(int, marks), i64 rows, i64 cols) {
  USE(float, logits);
  USE(int, targets);
  USE(float, out);
  USE(int, marks);
  ROW_LOCAL;
  ROW_GROUP(rows, cols);
  FOR_GROUP_ROWS {
    const GLOBAL float* row = logits + t * logits_stride;
    const i64 target = targets[t * targets_stride];
    float m, l;
    GROUP_MAX(m, row, cols);
    GROUP_EXP_SUM(l, row, cols, m);
    if (!is_there || row_item != 0) continue;
    if (target < 0 || target >= cols) {
      FAIL(t, 2, target);
    } else if (!IS_FINITE(m) || !IS_FINITE(l)) {
      FAIL(t, 1, m);
    } else {
      out[t * out_stride] = sub_(sub_(row[target], m), log_(l));
    }
  }
}

// dlogits may be logits: every element is read for the last time where it is written, but the target's, whose row sum
// and loss come first.
KERNEL(16, 4)
cross_entropy(HEAD, VIEW(float, logits), VIEW(int, targets), VIEW(float, weights), VIEW(float, loss),
              VIEW(float, dlogits), MEM(int, marks), i64 rows, i64 cols, i64 has_gradient) {
  USE(float, logits);
  USE(int, targets);
  USE(float, weights);
  USE(float, loss);
  USE(float, dlogits);
  USE(int, marks);
  ROW_LOCAL;
  ROW_GROUP(rows, cols);
  FOR_GROUP_ROWS {
    const GLOBAL float* row = logits + t * logits_stride;
    const i64 target = targets[t * targets_stride];
    float m, l, others = 0.0f;
    GROUP_MAX(m, row, cols);
    GROUP_EXP_SUM(l, row, cols, m);
    const int is_inside = target >= 0 && target < cols, is_sound = is_inside && IS_FINITE(m) && IS_FINITE(l);
    if (is_there && row_item == 0) {
      if (!is_inside) {
        FAIL(t, 2, target);
      } else if (!is_sound) {
        FAIL(t, 1, m);
      } else {
        loss[t * loss_stride] = neg_(sub_(sub_(row[target], m), log_(l)));
      }
    }
    const i64 n = has_gradient ? cols : 0, end = is_there && is_sound ? n : 0;
    GROUP_REDUCE(others, n, i, lane, add_(lane, i == target ? 0.0f : exp_(sub_(row[i], m))));
    const float weight = has_gradient ? flush_(weights[t * weights_stride]) : 0.0f;
    GLOBAL float* out = dlogits + t * dlogits_stride;
    for (i64 k = row_item; k < end; k += row_items) {
      const float e = exp_(sub_(row[k], m));
      out[k] = weight == 0.0f ? 0.0f : mul_(div_(e, l), weight);
    }
    if (end > 0 && weight != 0.0f && target % row_items == row_item) out[target] = mul_(neg_(div_(others, l)), weight);
  }
}

KERNEL(16, 4) row_squares(HEAD, VIEW(float, x), MEM(float, out), i64 rows, i64 cols) {
  USE(float, x);
  USE(float, out);
  ROW_LOCAL;
  ROW_GROUP(rows, cols);
  FOR_GROUP_ROWS {
    float squares;
    GROUP_SQUARES(squares, x + t * x_stride, cols);
    if (is_there && row_item == 0) out[t] = squares;
  }
}
// One value of n: the aligned tree over all. An item has an aligned power of two of them, and the first one the rest of
// the tree.
KERNEL(64, 1) tree(HEAD, MEM(float, x), MEM(float, out), i64 n) {
  USE(float, x);
  USE(float, out);
  LOCAL float parts[64];
  i64 each = 1;
  while (each * 64 < n) each *= 2;
  const i64 begin = ITEM(0) * each, end = begin + each < n ? begin + each : n;
  SEGMENT_SUM(own);
  for (i64 i = begin; i < end; ++i) push_segment(&own, x[i]);
  parts[ITEM(0)] = total_segments(&own);
  BARRIER();
  if (ITEM(0) == 0 && IS_DUE) {
    SEGMENT_SUM(sum);
    for (i64 i = 0; i * each < n; ++i) push_segment(&sum, parts[i]);
    out[0] = total_segments(&sum);
  }
}

KERNEL(64, 1) column_sum(HEAD, VIEW(float, x), MEM(float, out), i64 rows, i64 cols) {
  USE(float, x);
  USE(float, out);
  const i64 c = INDEX(0);
  if (c < cols && IS_DUE) {
    float sum;
    COLUMN_DOT(sum, rows, t, acc, fma_(x[t * x_stride + c], 1.0f, acc));
    out[c] = add_(out[c], sum);
  }
}

KERNEL(16, 4) inverse_rms(HEAD, VIEW(float, x), MEM(float, r), i64 rows, i64 cols, float eps) {
  USE(float, x);
  USE(float, r);
  ROW_LOCAL;
  ROW_GROUP(rows, cols);
  FOR_GROUP_ROWS {
    float squares;
    GROUP_SQUARES(squares, x + t * x_stride, cols);
    if (is_there && row_item == 0) r[t] = inverse_rms_(squares, cols, eps);
  }
}
KERNEL(64, 1)
rms_norm_dweight(HEAD, VIEW(float, x), VIEW(float, dy), MEM(float, r), MEM(float, dweight), i64 rows, i64 cols) {
  USE(float, x);
  USE(float, dy);
  USE(float, r);
  USE(float, dweight);
  const i64 k = INDEX(0);
  if (k < cols && IS_DUE) {
    float sum;
    COLUMN_DOT(sum, rows, t, acc, fma_(dy[t * dy_stride + k], mul_(x[t * x_stride + k], r[t]), acc));
    dweight[k] = add_(dweight[k], sum);
  }
}
// dx may be dy.
KERNEL(16, 4)
rms_norm_dx(HEAD, VIEW(float, x), VIEW(float, weight), VIEW(float, dy), MEM(float, r), VIEW(float, dx), i64 rows,
            i64 cols) {
  USE(float, x);
  USE(float, weight);
  USE(float, dy);
  USE(float, r);
  USE(float, dx);
  ROW_LOCAL;
  ROW_GROUP(rows, cols);
  FOR_GROUP_ROWS {
    const GLOBAL float *x_row = x + t * x_stride, *dy_row = dy + t * dy_stride;
    const float r_row = r[t];
    float sum;
    GROUP_REDUCE(sum, cols, k, lane, fma_(mul_(dy_row[k], weight[k]), mul_(x_row[k], r_row), lane));
    const float c = div_(sum, (float)cols);
    for (i64 k = row_item; k < cols && is_there; k += row_items) {
      const float g = mul_(dy_row[k], weight[k]);
      dx[t * dx_stride + k] = mul_(r_row, fma_(neg_(mul_(x_row[k], r_row)), c, g));
    }
  }
}

// A row of y: slot s of token t / chosen.
KERNEL(16, 4)
combine_grad(HEAD, VIEW(float, y), VIEW(float, gates), VIEW(float, dout), VIEW(float, dy), VIEW(float, dgates),
             i64 slots, i64 cols, i64 chosen) {
  USE(float, y);
  USE(float, gates);
  USE(float, dout);
  USE(float, dy);
  USE(float, dgates);
  ROW_LOCAL;
  ROW_GROUP(slots, cols);
  FOR_GROUP_ROWS {
    const i64 token = t / chosen, s = t % chosen;
    const GLOBAL float *d = dout + token * dout_stride, *y_row = y + t * y_stride;
    const float gate = gates[token * gates_stride + s];
    float sum;
    GROUP_REDUCE(sum, cols, k, lane, fma_(d[k], y_row[k], lane));
    if (is_there && row_item == 0) dgates[token * dgates_stride + s] = sum;
    for (i64 k = row_item; k < cols && is_there; k += row_items) dy[t * dy_stride + k] = mul_(gate, d[k]);
  }
}

// A column of a token an item: the first token of an id adds up all that have it, ascending.
KERNEL(64, 1)
embed_grad(HEAD, VIEW(int, ids), VIEW(float, dy), VIEW(float, out), MEM(int, marks), i64 tokens, i64 rows, i64 cols) {
  USE(int, ids);
  USE(float, dy);
  USE(float, out);
  USE(int, marks);
  FOR_ELEMENTS(t, tokens, k, cols) {
    const int id = ids[t * ids_stride];
    if (id < 0 || id >= rows) {
      FAIL(t, 2, id);
      continue;
    }
    i64 before = 0;
    while (before < t && ids[before * ids_stride] != id) ++before;
    if (before < t) continue;
    float sum = 0.0f;
    for (i64 u = t; u < tokens; ++u) {
      if (ids[u * ids_stride] == id) sum = add_(sum, dy[u * dy_stride + k]);
    }
    out[id * out_stride + k] = add_(out[id * out_stride + k], sum);
  }
}
