// The gradient of attention over a document (docs/arithmetic.md section 7), for one key head at a time: rows of P and
// ds of its query heads lie in `p` and `ds`, [query head][query][position], +0 where a query does not see a position.
//
// Of a document's n positions those from `first` on have queries, whose rows of the batch begin at row_begin; `pages`
// is its page table. flags: of each query head whether an element of q or dout is not finite as an operand.
#define GRADIENT_PARAMETERS                                                                                        \
  HEAD, VIEW(float, q), VIEW(float, dout), MEM(uchar, keys), MEM(uchar, values), MEM(int, pages), MEM(int, flags), \
      MEM(float, p), MEM(float, ds), i64 n, i64 first, i64 row_begin, i64 heads, i64 group_size, i64 key_head, i64 key_width, \
      i64 key_page_bytes, i64 value_width, i64 value_page_bytes, i64 cols, i64 is_bf16
#define GRADIENT_USES \
  USE(float, q);      \
  USE(float, dout);   \
  USE(uchar, keys);   \
  USE(uchar, values); \
  USE(int, pages);    \
  USE(int, flags);    \
  USE(float, p);      \
  USE(float, ds)
#define OPERAND(x) (is_bf16 ? round_bf16_(x) : (x))

KERNEL(16, 1) attention_grad_begin(HEAD, MEM(int, flags), i64 group_size) {
  USE(int, flags);
  FOR_ROWS (h, group_size) flags[h] = 0;
}

// An item a row of q.
KERNEL(16, 1) attention_grad_finite(GRADIENT_PARAMETERS) {
  GRADIENT_USES;
  FOR_ROWS (i, (n - first) * group_size) {
    const i64 h = i % group_size;
    const i64 row = (row_begin + i / group_size) * heads + key_head * group_size + h;
    int is_finite = 1;
    for (i64 c = 0; c < key_width; ++c) is_finite &= IS_FINITE(OPERAND(q[row * q_stride + c]));
    for (i64 c = 0; c < cols; ++c) is_finite &= IS_FINITE(OPERAND(dout[row * dout_stride + c]));
    if (!is_finite) flags[h] = 1;
  }
}

// The dot of ds over what a query sees and column c of its keys.
DEVICE float dot_keys(const GLOBAL float* ds_row, const GLOBAL uchar* keys, const GLOBAL int* pages,
                      const GLOBAL int* list, i64 longest, i64 seen, i64 page_bytes, i64 key_head, i64 width, i64 c,
                      i64 is_bf16) {
  const i64 bytes = is_bf16 ? 2 : 4;
  float dot;
#define SEEN (longest > 0 ? list[s] : s)
#define KEY cached(keys, cache_place(pages[SEEN / PAGE], page_bytes, bytes, key_head, SEEN, width) + c, is_bf16)
  if (is_bf16) {
    DOT(dot, seen, s, 1, ds_row[SEEN], KEY);
  } else {
    DOT(dot, seen, s, 0, ds_row[SEEN], KEY);
  }
#undef KEY
  return dot;
}

// A group of 64 items a row of q: its rows of P and ds, and its dq.
KERNEL(64, 1)
attention_grad_rows(GRADIENT_PARAMETERS, VIEW(float, out), VIEW(float, stats), VIEW(float, dq), VIEW(int, selected),
                    i64 longest, float scale) {
  GRADIENT_USES;
  USE(float, out);
  USE(float, stats);
  USE(float, dq);
  USE(int, selected);
  LOCAL float shared_[2];
  const int item = ITEM(0);
  const i64 i = GROUP(0) / group_size, h = GROUP(0) % group_size;
  const i64 row = (row_begin + i) * heads + key_head * group_size + h;
  const GLOBAL int* list = selected + (row_begin + i) * selected_stride;
  const i64 element_bytes = is_bf16 ? 2 : 4;
  GLOBAL float *p_row = p + (h * (n - first) + i) * n, *ds_row = ds + (h * (n - first) + i) * n;
  const GLOBAL float *q_row = q + row * q_stride, *dout_row = dout + row * dout_stride,
                     *out_row = out + row * out_stride;
  const int is_due = IS_DUE;
  const i64 seen = !is_due ? 0 : longest > 0 ? count_selected(list, longest) : first + i + 1;
  const i64 width = is_due ? n : 0;
  for (i64 j = item; j < width; j += 64) p_row[j] = 0.0f, ds_row[j] = 0.0f;
  if (item == 0 && is_due) {
    float d0;
    ROW_REDUCE(d0, cols, c, lane, fma_(OPERAND(dout_row[c]), out_row[c], lane));
    shared_[0] = d0;
  }
  BARRIER();
  for (i64 s = item; s < seen; s += 64) {
    const i64 j = longest > 0 ? list[s] : s, page = pages[j / PAGE];
    const i64 key = cache_place(page, key_page_bytes, element_bytes, key_head, j, key_width);
    const i64 value = cache_place(page, value_page_bytes, element_bytes, key_head, j, value_width);
    const float score = dot_cached(q_row, keys, key, key_width, is_bf16);
    const float dp = dot_cached(dout_row, values, value, cols, is_bf16);
    const float difference = sub_(mul_(score, scale), stats[row * stats_stride]);
    const float rl = div_(1.0f, stats[row * stats_stride + 1]);
    p_row[j] = difference < SCORE_FLOOR ? 0.0f : mul_(exp_(difference), rl);
    ds_row[j] = sub_(dp, shared_[0]);  // e, until r is known
  }
  BARRIER();
  if (item == 0 && is_due) {
    float r;
    ROW_REDUCE(r, seen, s, lane, p_row[SEEN] == 0.0f ? lane : fma_(p_row[SEEN], ds_row[SEEN], lane));
    shared_[1] = r;
  }
  BARRIER();
  for (i64 s = item; s < seen; s += 64) {
    const i64 j = longest > 0 ? list[s] : s;
    const float weight = p_row[j];
    const float value = weight == 0.0f ? 0.0f : mul_(mul_(weight, sub_(ds_row[j], shared_[1])), scale);
    ds_row[j] = OPERAND(value);
    p_row[j] = OPERAND(weight);
  }
  BARRIER();
  const i64 dq_cols = is_due ? key_width : 0;
  for (i64 c = item; c < dq_cols; c += 64) {
    const float dot =
        dot_keys(ds_row, keys, pages, list, longest, seen, key_page_bytes, key_head, key_width, c, is_bf16);
    dq[row * dq_stride + c] = flags[h] != 0 ? QUIET_NAN : dot;
  }
}

// A column of dk or dv of a position an item: the query heads of the key head ascending. Positions before the first
// query have their rows from prefix_begin on.
KERNEL(16, 1)
attention_grad_columns(GRADIENT_PARAMETERS, VIEW(float, dk), VIEW(float, dv), i64 key_heads, i64 prefix_begin) {
  GRADIENT_USES;
  USE(float, dk);
  USE(float, dv);
  FOR_ELEMENTS (j, n, c, key_width + cols) {
    float sum = 0.0f;
    for (i64 h = 0; h < group_size; ++h) {
      const i64 row = row_begin * heads + key_head * group_size + h;
      const int is_key = c < key_width;
      const GLOBAL float* left = (is_key ? ds : p) + h * (n - first) * n + j;
      const GLOBAL float* right = is_key ? q + row * q_stride + c : dout + row * dout_stride + (c - key_width);
      const i64 stride = heads * (is_key ? q_stride : dout_stride);
      float dot;
      // An absent query counts as +0.
#define LEFT (i < first ? 0.0f : left[(i - first) * n])
#define RIGHT (i < first ? 0.0f : right[(i - first) * stride])
      if (is_bf16) {
        DOT(dot, n, i, 1, LEFT, round_bf16_(RIGHT));
      } else {
        DOT(dot, n, i, 0, LEFT, RIGHT);
      }
#undef LEFT
#undef RIGHT
      sum = add_(sum, flags[h] != 0 ? QUIET_NAN : dot);
    }
    const i64 row = (j < first ? prefix_begin + j : row_begin + j - first) * key_heads + key_head;
    if (c < key_width) {
      dk[row * dk_stride + c] = sum;
    } else {
      dv[row * dv_stride + (c - key_width)] = sum;
    }
  }
}
