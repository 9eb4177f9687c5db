// V3's sequence-wise balance loss of the experts (docs/arithmetic.md section 7). shares: [row][experts], then what each
// row was divided by; of_experts: loads f, mean shares P and gradients b, [3][experts].
KERNEL(4, 1)
balance_shares(HEAD, VIEW(float, logits), VIEW(float, dscores), MEM(float, shares), MEM(float, divisors), i64 rows,
               i64 experts, i64 is_sigmoid) {
  USE(float, logits);
  USE(float, dscores);
  USE(float, shares);
  USE(float, divisors);
  FOR_ROWS (t, rows) {
    GLOBAL float* a = shares + t * experts;
    expert_scores(logits + t * logits_stride, experts, is_sigmoid, a);
    float divisor = 1.0f;
    if (is_sigmoid) {
      ROW_REDUCE(divisor, experts, e, lane, add_(lane, a[e]));
      for (i64 e = 0; e < experts; ++e) a[e] = div_(a[e], divisor);
    }
    divisors[t] = divisor;
    for (i64 e = 0; e < experts; ++e) dscores[t * dscores_stride + e] = 0.0f;
  }
}

// Of the sequence whose rows begin at row_begin: an item an expert.
KERNEL(16, 1)
balance_experts(HEAD, VIEW(int, chosen), MEM(float, shares), MEM(float, of_experts), i64 row_begin, i64 rows,
                i64 experts, i64 n_chosen, float weight) {
  USE(int, chosen);
  USE(float, shares);
  USE(float, of_experts);
  FOR_ROWS (e, experts) {
    int count = 0;
    for (i64 t = row_begin; t < row_begin + rows; ++t) {
      for (i64 s = 0; s < n_chosen; ++s) count += chosen[t * chosen_stride + s] == e;
    }
    const float n = (float)rows;
    const float load = mul_(div_((float)experts, (float)(n_chosen * rows)), (float)count);
    float sum;
    COLUMN_DOT(sum, rows, t, acc, fma_(shares[(row_begin + t) * experts + e], 1.0f, acc));
    of_experts[e] = load;
    of_experts[experts + e] = div_(sum, n);
    of_experts[2 * experts + e] = mul_(load, div_(weight, n));
  }
}

KERNEL(1, 1) balance_loss(HEAD, MEM(float, of_experts), MEM(float, loss), i64 experts, float weight) {
  USE(float, of_experts);
  USE(float, loss);
  if (IS_DUE) {
    float sum;
    ROW_REDUCE(sum, experts, e, lane, fma_(of_experts[e], of_experts[experts + e], lane));
    loss[0] = mul_(weight, sum);
  }
}

KERNEL(4, 1)
balance_dscores(HEAD, MEM(float, shares), MEM(float, divisors), MEM(float, of_experts), VIEW(float, dscores),
                i64 row_begin, i64 rows, i64 experts, i64 is_sigmoid) {
  USE(float, shares);
  USE(float, divisors);
  USE(float, of_experts);
  USE(float, dscores);
  FOR_ROWS (i, rows) {
    const i64 t = row_begin + i;
    const GLOBAL float *a = shares + t * experts, *b = of_experts + 2 * experts;
    float c;
    ROW_REDUCE(c, experts, e, lane, fma_(b[e], a[e], lane));
    for (i64 e = 0; e < experts; ++e)
      dscores[t * dscores_stride + e] = is_sigmoid ? div_(sub_(b[e], c), divisors[t]) : b[e];
  }
}
