// The cache, and attention over it (docs/arithmetic.md section 5). A page lies as [head][32 positions][width], f32 or
// bf16.
//
// tokens: of each row of the batch its position (-1: no row of a sequence) and where its page table begins in `pages`.
// entries: of each row of each sequence its row of the batch, its position, and where its page table begins.
#define PAGE 32
#define ATTENTION_SEGMENT 512
#define SCORE_FLOOR (-38.0f)

DEVICE i64 cache_place(i64 page, i64 page_bytes, i64 element_bytes, i64 head, i64 position, i64 width) {
  return page * (page_bytes / element_bytes) + (head * PAGE + position % PAGE) * width;
}
DEVICE float cached(const GLOBAL uchar* cache, i64 place, i64 is_bf16) {
  return is_bf16 ? from_bf16(((const GLOBAL ushort*)cache)[place]) : ((const GLOBAL float*)cache)[place];
}

// An item an entry's row of x: all heads of a token where they share it.
KERNEL(4, 1)
cache_write(HEAD, VIEW(float, x), MEM(uchar, cache), MEM(int, entries), MEM(int, pages), MEM(int, marks), i64 writes,
            i64 cols, i64 heads, i64 is_shared, i64 page_bytes, i64 width, i64 column, i64 is_bf16) {
  USE(float, x);
  USE(uchar, cache);
  USE(int, entries);
  USE(int, pages);
  USE(int, marks);
  FOR_ROWS (write, writes) {
    const GLOBAL int* entry = entries + 3 * (is_shared ? write : write / heads);
    const i64 position = entry[1], page = pages[entry[2] + position / PAGE];
    const i64 row = is_shared ? entry[0] : entry[0] * heads + write % heads;
    const i64 head_begin = is_shared ? 0 : row % heads, head_end = is_shared ? heads : head_begin + 1;
    i64 bad = 0;
    float found = 0.0f;
    for (i64 head = head_begin; head < head_end; ++head) {
      const i64 place = cache_place(page, page_bytes, is_bf16 ? 2 : 4, head, position, width) + column;
      for (i64 k = 0; k < cols; ++k) {
        const float value = x[row * x_stride + k];
        const float kept = is_bf16 ? round_bf16_(value) : flush_(value);
        if (is_bf16) {
          ((GLOBAL ushort*)cache)[place + k] = to_bf16(value);
        } else {
          ((GLOBAL float*)cache)[place + k] = kept;
        }
        if (!IS_FINITE(kept) && bad == 0) bad = k + 1, found = kept;
      }
    }
    if (bad != 0) FAIL(row, (int)bad, found);
  }
}

// Lists of selected positions. What breaks the rule is marked in four words a row: its place in the list + 1, itself,
// and what stands before it.
KERNEL(4, 1) check_selected(HEAD, VIEW(int, selected), MEM(int, tokens), MEM(int, marks), i64 rows, i64 longest) {
  USE(int, selected);
  USE(int, tokens);
  USE(int, marks);
  FOR_ROWS (t, rows) {
    const i64 own = tokens[2 * t];
    i64 before = -1, bad = 0;
    for (i64 i = 0; i < longest && own >= 0 && bad == 0; ++i) {
      const i64 position = selected[t * selected_stride + i];
      if (i > 0 && position == -1) break;
      if (position <= before || position > own) {
        bad = i + 1;
      } else {
        before = position;
      }
    }
    if (bad != 0) {
      CLAIM(status_base, 0, (int)number);
      marks[4 * t] = (int)bad;
      marks[4 * t + 1] = selected[t * selected_stride + bad - 1];
      marks[4 * t + 2] = (int)before;
    }
  }
}

DEVICE i64 count_selected(const GLOBAL int* list, i64 longest) {
  i64 n = 1;
  while (n < longest && list[n] != -1) ++n;
  return n;
}

// The dot of a row of floats, as an operand, and a row of a cache.
DEVICE float dot_cached(const GLOBAL float* x, const GLOBAL uchar* cache, i64 place, i64 n, i64 is_bf16) {
  float dot;
  if (is_bf16) {
    const GLOBAL ushort* row = (const GLOBAL ushort*)cache + place;
    DOT(dot, n, k, 1, round_bf16_(x[k]), from_bf16(row[k]));
  } else {
    const GLOBAL float* row = (const GLOBAL float*)cache + place;
    DOT(dot, n, k, 0, x[k], row[k]);
  }
  return dot;
}
// The dot of p and column d of the rows of a segment.
DEVICE float dot_column(const LOCAL_POINTER float* p, const LOCAL_POINTER i64* places, i64 count,
                        const GLOBAL uchar* cache, i64 d, i64 is_bf16) {
  float dot;
  if (is_bf16) {
    const GLOBAL ushort* column = (const GLOBAL ushort*)cache + d;
    DOT(dot, count, k, 1, p[k], from_bf16(column[places[k]]));
  } else {
    const GLOBAL float* column = (const GLOBAL float*)cache + d;
    DOT(dot, count, k, 0, p[k], column[places[k]]);
  }
  return dot;
}
// merged: m and l of all segments so far; m of the next one; the factors of both. `l` is that of the next one.
DEVICE void merge_segment(LOCAL_POINTER float* merged, float l, int is_first) {
  if (is_first) {
    merged[0] = merged[2];
    merged[1] = l;
    return;
  }
  const float m = add_(max_(merged[0], merged[2]), 0.0f);
  const float a = exp_(sub_(merged[0], m)), b = exp_(sub_(merged[2], m));
  merged[0] = m;
  merged[1] = fma_(merged[1], a, mul_(b, l));
  merged[3] = a;
  merged[4] = b;
}

// A group of 64 items a row of q. p and the page of each position of a segment lie in local memory; `out` holds o until
// it is divided.
KERNEL(64, 1)
attention(HEAD, VIEW(float, q), MEM(uchar, keys), MEM(uchar, values), MEM(int, tokens), MEM(int, pages),
          VIEW(int, selected), VIEW(float, out), VIEW(float, stats), i64 rows, i64 heads, i64 group_size, i64 key_width,
          i64 key_page_bytes, i64 value_width, i64 value_page_bytes, i64 cols, i64 longest, i64 has_stats, i64 is_bf16,
          float scale) {
  USE(float, q);
  USE(uchar, keys);
  USE(uchar, values);
  USE(int, tokens);
  USE(int, pages);
  USE(int, selected);
  USE(float, out);
  USE(float, stats);
  LOCAL float p[ATTENTION_SEGMENT];
  LOCAL i64 places[ATTENTION_SEGMENT];
  LOCAL float merged[5];
  const int item = ITEM(0);
  const i64 row = GROUP(0), token = row / heads, key_head = row % heads / group_size;
  const i64 own = tokens[2 * token];
  const GLOBAL int *table = pages + tokens[2 * token + 1], *list = selected + token * selected_stride;
  const i64 element_bytes = is_bf16 ? 2 : 4;
  i64 seen = 0;
  if (own >= 0 && IS_DUE) seen = longest > 0 ? count_selected(list, longest) : own + 1;
  for (i64 begin = 0; begin < seen; begin += ATTENTION_SEGMENT) {
    const int count = seen - begin < ATTENTION_SEGMENT ? (int)(seen - begin) : ATTENTION_SEGMENT;
    for (int i = item; i < count; i += 64) {
      const i64 position = longest > 0 ? list[begin + i] : begin + i, page = table[position / PAGE];
      const i64 key = cache_place(page, key_page_bytes, element_bytes, key_head, position, key_width);
      places[i] = cache_place(page, value_page_bytes, element_bytes, key_head, position, value_width);
      p[i] = mul_(dot_cached(q + row * q_stride, keys, key, key_width, is_bf16), scale);
    }
    BARRIER();
    if (item == 0) {
      float m = p[0];
      for (int i = 1; i < count; ++i) m = max_(m, p[i]);
      merged[2] = add_(m, 0.0f);
    }
    BARRIER();
    for (int i = item; i < count; i += 64) {
      const float difference = sub_(p[i], merged[2]);
      const float e = difference < SCORE_FLOOR ? 0.0f : exp_(difference);
      p[i] = is_bf16 ? round_bf16_(e) : e;
    }
    BARRIER();
    if (item == 0) {
      float l;
      ROW_REDUCE(l, (i64)count, i, lane, add_(lane, p[i]));
      merge_segment(merged, l, begin == 0);
    }
    BARRIER();
    for (i64 d = item; d < cols; d += 64) {
      const float dot = dot_column(p, places, count, values, d, is_bf16);
      GLOBAL float* o = out + row * out_stride + d;
      *o = begin == 0 ? dot : fma_(*o, merged[3], mul_(merged[4], dot));
    }
    BARRIER();
  }
  if (seen > 0) {
    for (i64 d = item; d < cols; d += 64) {
      GLOBAL float* o = out + row * out_stride + d;
      *o = div_(*o, merged[1]);
    }
    if (has_stats && item == 0) {
      stats[row * stats_stride] = merged[0];
      stats[row * stats_stride + 1] = merged[1];
    }
  }
}
