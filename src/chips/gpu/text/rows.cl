// Row functions: an item a row.
DEVICE float sum_of_squares_(const GLOBAL float* x, i64 n) {
  float sum;
  ROW_REDUCE(sum, n, i, lane, fma_(x[i], x[i], lane));
  return sum;
}
DEVICE float inverse_rms_(float squares, i64 n, float eps) {
  return div_(1.0f, sqrt_(add_(div_(squares, (float)n), eps)));
}
DEVICE float exp_sum_(const GLOBAL float* x, i64 n, float m) {
  float sum;
  ROW_REDUCE(sum, n, i, lane, add_(lane, exp_(sub_(x[i], m))));
  return sum;
}

KERNEL(4, 1)
rms_norm(HEAD, VIEW(float, x), VIEW(float, weight), VIEW(float, out), MEM(int, marks), i64 rows, i64 cols, float eps) {
  USE(float, x);
  USE(float, weight);
  USE(float, out);
  USE(int, marks);
  FOR_ROWS (t, rows) {
    const GLOBAL float* row = x + t * x_stride;
    const float squares = sum_of_squares_(row, cols);
    if (IS_FINITE(squares)) {
      const float r = inverse_rms_(squares, cols, eps);
      for (i64 k = 0; k < cols; ++k) out[t * out_stride + k] = mul_(mul_(row[k], r), weight[k]);
    } else {
      FAIL(t, 1, squares);
    }
  }
}

KERNEL(4, 1)
log_prob(HEAD, VIEW(float, logits), VIEW(int, targets), VIEW(float, out), MEM(int, marks), i64 rows, i64 cols) {
  USE(float, logits);
  USE(int, targets);
  USE(float, out);
  USE(int, marks);
  FOR_ROWS (t, rows) {
    const GLOBAL float* row = logits + t * logits_stride;
    const i64 target = targets[t * targets_stride];
    const float m = row_max_(row, cols), l = exp_sum_(row, cols, m);
    if (target < 0 || target >= cols) {
      FAIL(t, 2, target);
    } else if (!IS_FINITE(m) || !IS_FINITE(l)) {
      FAIL(t, 1, m);
    } else {
      out[t * out_stride] = sub_(sub_(row[target], m), log_(l));
    }
  }
}

// dlogits may be logits: every element is read for the last time where it is written, but the target's row sum, which
// comes first.
KERNEL(4, 1)
cross_entropy(HEAD, VIEW(float, logits), VIEW(int, targets), VIEW(float, weights), VIEW(float, loss),
              VIEW(float, dlogits), MEM(int, marks), i64 rows, i64 cols, i64 has_gradient) {
  USE(float, logits);
  USE(int, targets);
  USE(float, weights);
  USE(float, loss);
  USE(float, dlogits);
  USE(int, marks);
  FOR_ROWS (t, rows) {
    const GLOBAL float* row = logits + t * logits_stride;
    const i64 target = targets[t * targets_stride];
    const float m = row_max_(row, cols), l = exp_sum_(row, cols, m);
    if (target < 0 || target >= cols) {
      FAIL(t, 2, target);
    } else if (!IS_FINITE(m) || !IS_FINITE(l)) {
      FAIL(t, 1, m);
    } else {
      loss[t * loss_stride] = neg_(sub_(sub_(row[target], m), log_(l)));
      if (has_gradient) {
        const float weight = flush_(weights[t * weights_stride]);
        GLOBAL float* out = dlogits + t * dlogits_stride;
        float others;
        ROW_REDUCE(others, cols, i, lane, add_(lane, i == target ? 0.0f : exp_(sub_(row[i], m))));
        for (i64 k = 0; k < cols; ++k) {
          const float e = exp_(sub_(row[k], m));
          out[k] = weight == 0.0f ? 0.0f : mul_(div_(e, l), weight);
        }
        if (weight != 0.0f) out[target] = mul_(neg_(div_(others, l)), weight);
      }
    }
  }
}

KERNEL(4, 1) row_squares(HEAD, VIEW(float, x), MEM(float, out), i64 rows, i64 cols) {
  USE(float, x);
  USE(float, out);
  FOR_ROWS (t, rows) out[t] = sum_of_squares_(x + t * x_stride, cols);
}
// One value of n: the aligned tree over all.
KERNEL(1, 1) tree(HEAD, MEM(float, x), MEM(float, out), i64 n) {
  USE(float, x);
  USE(float, out);
  if (IS_DUE) {
    SEGMENT_SUM(sum);
    for (i64 i = 0; i < n; ++i) push_segment(&sum, x[i]);
    out[0] = total_segments(&sum);
  }
}

KERNEL(16, 1) column_sum(HEAD, VIEW(float, x), MEM(float, out), i64 rows, i64 cols) {
  USE(float, x);
  USE(float, out);
  const i64 c = INDEX(0);
  if (c < cols && IS_DUE) {
    float sum;
    COLUMN_DOT(sum, rows, t, acc, fma_(x[t * x_stride + c], 1.0f, acc));
    out[c] = add_(out[c], sum);
  }
}

KERNEL(4, 1) inverse_rms(HEAD, VIEW(float, x), MEM(float, r), i64 rows, i64 cols, float eps) {
  USE(float, x);
  USE(float, r);
  FOR_ROWS (t, rows) r[t] = inverse_rms_(sum_of_squares_(x + t * x_stride, cols), cols, eps);
}
KERNEL(16, 1)
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
KERNEL(4, 1)
rms_norm_dx(HEAD, VIEW(float, x), VIEW(float, weight), VIEW(float, dy), MEM(float, r), VIEW(float, dx), i64 rows,
            i64 cols) {
  USE(float, x);
  USE(float, weight);
  USE(float, dy);
  USE(float, r);
  USE(float, dx);
  FOR_ROWS (t, rows) {
    const GLOBAL float *x_row = x + t * x_stride, *dy_row = dy + t * dy_stride;
    const float r_row = r[t];
    float sum;
    ROW_REDUCE(sum, cols, k, lane, fma_(mul_(dy_row[k], weight[k]), mul_(x_row[k], r_row), lane));
    const float c = div_(sum, (float)cols);
    for (i64 k = 0; k < cols; ++k) {
      const float g = mul_(dy_row[k], weight[k]);
      dx[t * dx_stride + k] = mul_(r_row, fma_(neg_(mul_(x_row[k], r_row)), c, g));
    }
  }
}

// A row of y an item: slot t * chosen + s.
KERNEL(4, 1)
combine_grad(HEAD, VIEW(float, y), VIEW(float, gates), VIEW(float, dout), VIEW(float, dy), VIEW(float, dgates),
             i64 slots, i64 cols, i64 chosen) {
  USE(float, y);
  USE(float, gates);
  USE(float, dout);
  USE(float, dy);
  USE(float, dgates);
  FOR_ROWS (i, slots) {
    const i64 t = i / chosen, s = i % chosen;
    const GLOBAL float *d = dout + t * dout_stride, *y_row = y + i * y_stride;
    const float gate = gates[t * gates_stride + s];
    float sum;
    ROW_REDUCE(sum, cols, k, lane, fma_(d[k], y_row[k], lane));
    dgates[t * dgates_stride + s] = sum;
    for (i64 k = 0; k < cols; ++k) dy[i * dy_stride + k] = mul_(gate, d[k]);
  }
}

// A column of a token an item: the first token of an id adds up all that have it, ascending.
KERNEL(16, 1)
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
