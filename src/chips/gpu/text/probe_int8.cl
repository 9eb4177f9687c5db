// What the device makes of its instructions for int8, and whether it has them: the first word of the results.
KERNEL(32, 1) probe_dots(HEAD, MEM(int, operands), MEM(int, results), i64 n) {
  USE(int, operands);
  USE(int, results);
  if (INDEX(0) == 0) results[0] = HAS_DOTS;
  FOR_ROWS(i, n) results[1 + i] = DOT4(operands[3 * i], operands[3 * i + 1], operands[3 * i + 2]);
}

// 64 rows and 64 outputs of `steps` times 8 words each: operands [2][64][8 * steps], results [64][64] behind the word,
// which is all that there is where there are no matrix units.
KERNEL(32, 1) probe_matrix(HEAD, MEM(int, operands), MEM(int, results), i64 steps) {
  USE(int, operands);
  USE(int, results);
  if (INDEX(0) == 0) results[0] = HAS_MATRIX;
#if HAS_MATRIX
  MATRIX_LOCAL(1);
  int sums[4][8][4];
  for (int m = 0; m < 4; ++m)
    for (int n = 0; n < 8; ++n)
      for (int r = 0; r < 4; ++r) sums[m][n][r] = 0;
  const int stride = 8 * (int)steps;
  for (i64 step = 0; step < steps; ++step) {
    const GLOBAL int *rows = operands + 8 * step, *outputs = rows + MATRIX_SPAN * stride;
    int a[4][4], b[8][2];
    LOAD_FRAGMENTS(a, b, rows, outputs, stride);
    MATRIX_STEP(sums, a, b);
  }
  for (int m = 0; m < 4; ++m)
    for (int n = 0; n < 8; ++n)
      for (int r = 0; r < 4; ++r) results[1 + ROW_OF_SUM(m, r) * MATRIX_SPAN + OUTPUT_OF_SUM(n, r)] = sums[m][n][r];
#endif
}
