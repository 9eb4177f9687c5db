// Ops of elements: each item makes one value, or those of one column.
KERNEL(64, 1) fill(HEAD, VIEW(float, out), i64 rows, i64 cols, float value) {
  USE(float, out);
  FOR_ELEMENTS (t, rows, k, cols) out[t * out_stride + k] = flush_(value);
}

KERNEL(64, 1) add(HEAD, VIEW(float, a), VIEW(float, b), VIEW(float, out), i64 rows, i64 cols) {
  USE(float, a);
  USE(float, b);
  USE(float, out);
  FOR_ELEMENTS (t, rows, k, cols) out[t * out_stride + k] = add_(a[t * a_stride + k], b[t * b_stride + k]);
}

KERNEL(64, 1) round_bf16(HEAD, VIEW(float, x), VIEW(float, out), i64 rows, i64 cols) {
  USE(float, x);
  USE(float, out);
  FOR_ELEMENTS (t, rows, k, cols) out[t * out_stride + k] = round_bf16_(x[t * x_stride + k]);
}

KERNEL(64, 1)
axpby(HEAD, VIEW(float, x), VIEW(float, y), VIEW(float, out), i64 rows, i64 cols, i64 has_y, float a, float b) {
  USE(float, x);
  USE(float, y);
  USE(float, out);
  FOR_ELEMENTS (t, rows, k, cols) {
    const float value = x[t * x_stride + k];
    out[t * out_stride + k] = has_y ? fma_(a, value, mul_(b, y[t * y_stride + k])) : mul_(a, value);
  }
}

KERNEL(64, 1) silu_mul(HEAD, VIEW(float, gate), VIEW(float, up), VIEW(float, out), i64 rows, i64 cols) {
  USE(float, gate);
  USE(float, up);
  USE(float, out);
  FOR_ELEMENTS (t, rows, k, cols)
    out[t * out_stride + k] = mul_(silu_(gate[t * gate_stride + k]), up[t * up_stride + k]);
}

// An item a pair. Backwards: the transposed rotation.
KERNEL(64, 1)
rope(HEAD, VIEW(float, x), VIEW(float, cosines), VIEW(float, sines), VIEW(float, out), i64 rows, i64 pairs,
     i64 rows_per_token, i64 is_interleaved, i64 is_backward) {
  USE(float, x);
  USE(float, cosines);
  USE(float, sines);
  USE(float, out);
  FOR_ELEMENTS (t, rows, i, pairs) {
    const i64 token = t / rows_per_token;
    const float c = cosines[token * cosines_stride + i], s = sines[token * sines_stride + i];
    const i64 first = is_interleaved ? 2 * i : i, second = is_interleaved ? 2 * i + 1 : i + pairs;
    const float a = x[t * x_stride + first], b = x[t * x_stride + second];
    out[t * out_stride + first] = fma_(a, c, is_backward ? mul_(b, s) : neg_(mul_(b, s)));
    out[t * out_stride + second] = is_backward ? fma_(b, c, neg_(mul_(a, s))) : fma_(a, s, mul_(b, c));
  }
}

KERNEL(64, 1)
combine(HEAD, VIEW(float, y), VIEW(float, gates), VIEW(float, shared_part), VIEW(float, residual), VIEW(float, out),
        i64 rows, i64 cols, i64 chosen, i64 has_shared) {
  USE(float, y);
  USE(float, gates);
  USE(float, shared_part);
  USE(float, residual);
  USE(float, out);
  FOR_ELEMENTS (t, rows, k, cols) {
    float acc = 0.0f;
    for (i64 s = 0; s < chosen; ++s) acc = fma_(gates[t * gates_stride + s], y[(t * chosen + s) * y_stride + k], acc);
    if (has_shared) acc = add_(acc, shared_part[t * shared_part_stride + k]);
    out[t * out_stride + k] = add_(residual[t * residual_stride + k], acc);
  }
}

// Pages of a cache, by words of 16 bits.
KERNEL(64, 1) copy_words(HEAD, MEM(ushort, from), MEM(ushort, to), i64 words) {
  USE(ushort, from);
  USE(ushort, to);
  if (IS_DUE) {
    for (i64 i = INDEX(0); i < words; i += ITEMS(0)) to[i] = from[i];
  }
}

KERNEL(64, 1) sum_slots(HEAD, VIEW(float, x), VIEW(float, out), i64 rows, i64 cols, i64 slots) {
  USE(float, x);
  USE(float, out);
  FOR_ELEMENTS (t, rows, k, cols) {
    float sum = 0.0f;
    for (i64 s = 0; s < slots; ++s) sum = add_(sum, x[(t * slots + s) * x_stride + k]);
    out[t * out_stride + k] = sum;
  }
}

KERNEL(64, 1)
silu_mul_grad(HEAD, VIEW(float, gate), VIEW(float, up), VIEW(float, dy), VIEW(float, dgate), VIEW(float, dup), i64 rows,
              i64 cols) {
  USE(float, gate);
  USE(float, up);
  USE(float, dy);
  USE(float, dgate);
  USE(float, dup);
  FOR_ELEMENTS (t, rows, k, cols) {
    const float x = gate[t * gate_stride + k], u = up[t * up_stride + k], d = dy[t * dy_stride + k];
    const float s = sigmoid_(x), a = silu_(x);
    dup[t * dup_stride + k] = mul_(d, a);
    dgate[t * dgate_stride + k] = mul_(mul_(d, u), fma_(a, sub_(1.0f, s), s));
  }
}

KERNEL(64, 1)
adamw(HEAD, VIEW(float, weight), VIEW(float, grad), VIEW(float, m), VIEW(float, v), i64 rows, i64 cols, float decay,
      float grad_scale, float beta1, float one_minus_beta1, float beta2, float one_minus_beta2,
      float inverse_root_bias2, float eps, float step_size) {
  USE(float, weight);
  USE(float, grad);
  USE(float, m);
  USE(float, v);
  FOR_ELEMENTS (t, rows, k, cols) {
    const float g = mul_(grad[t * grad_stride + k], grad_scale);
    const float mean = fma_(beta1, m[t * m_stride + k], mul_(one_minus_beta1, g));
    const float square = fma_(beta2, v[t * v_stride + k], mul_(one_minus_beta2, mul_(g, g)));
    m[t * m_stride + k] = mean;
    v[t * v_stride + k] = square;
    const float u = div_(mean, fma_(sqrt_(square), inverse_root_bias2, eps));
    GLOBAL float* w = weight + t * weight_stride + k;
    *w = fma_(neg_(step_size), u, mul_(*w, decay));
  }
}
