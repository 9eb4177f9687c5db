// Activations as int8 with scales, for products of integers (section 3).
// The scale of a block whose largest magnitude is amax, and what its values are multiplied with; 0: all are 0.
DEVICE float inverse_scale(float amax) {
  return IS_FINITE(amax) && amax >= 0x1p-64f ? div_(127.0f, amax) : 0.0f;
}
DEVICE float scale_of(float amax) {
  if (!IS_FINITE(amax)) return QUIET_NAN;
  return amax >= 0x1p-64f ? div_(amax, 127.0f) : 0.0f;
}
DEVICE int quantised(float value, float inverse) {
  return inverse == 0.0f ? 0 : (int)rint_(mul_(value, inverse));
}

// A group a row.
KERNEL(64, 1) quantise_rows(HEAD, VIEW(float, x), MEM(i8, q), MEM(float, scales), i64 rows, i64 inputs) {
  USE(float, x);
  USE(i8, q);
  USE(float, scales);
  LOCAL float parts[64];
  const int item = ITEM(0);
  const i64 due = IS_DUE ? rows : 0;
  for (i64 t = GROUP(0); t < due; t += GROUPS(0)) {
    const GLOBAL float* row = x + t * x_stride;
    float amax = 0.0f;
    for (i64 k = item; k < inputs; k += 64) amax = max_(amax, abs_(row[k]));
    parts[item] = amax;
    BARRIER();
    for (int i = 0; i < 64; ++i) amax = max_(amax, parts[i]);
    const float inverse = inverse_scale(amax);
    for (i64 k = item; k < ROW_BYTES(inputs); k += 64)
      q[t * ROW_BYTES(inputs) + k] = k < inputs ? (i8)quantised(row[k], inverse) : 0;
    if (item == 0) scales[2 * t] = scale_of(amax);
    BARRIER();
  }
}

// An item an element of a block of 32, four blocks a group.
KERNEL(32, 4) quantise_blocks(HEAD, VIEW(float, x), MEM(i8, q), MEM(float, scales), i64 rows, i64 inputs) {
  USE(float, x);
  USE(i8, q);
  USE(float, scales);
  LOCAL float magnitudes[128];
  LOCAL int integers[128];
  const int lane = ITEM(0), first = ITEM(1) * 32;
  const i64 blocks = inputs / 32, b = GROUP(0) * 4 + ITEM(1), due = IS_DUE ? rows : 0;
  for (i64 t = GROUP(1); t < due; t += GROUPS(1)) {
    const float value = b < blocks ? x[t * x_stride + b * 32 + lane] : 0.0f;
    magnitudes[first + lane] = abs_(value);
    BARRIER();
    float amax = 0.0f;
    for (int i = 0; i < 32; ++i) amax = max_(amax, magnitudes[first + i]);
    const int integer = quantised(value, inverse_scale(amax));
    integers[first + lane] = integer;
    BARRIER();
    if (b < blocks) q[t * inputs + b * 32 + lane] = (i8)integer;
    if (b < blocks && lane == 0) {
      int sum = 0;
      for (int i = 0; i < 32; ++i) sum += integers[first + i];
      scales[2 * (t * blocks + b)] = scale_of(amax);
      scales[2 * (t * blocks + b) + 1] = (float)sum;
    }
  }
}
