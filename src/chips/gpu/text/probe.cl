// What the device makes of the scalar operations: five results for each triple of operands.
KERNEL(32, 1) probe(HEAD, MEM(float, operands), MEM(float, results), i64 n) {
  USE(float, operands);
  USE(float, results);
  FOR_ROWS (i, n) {
    const float a = operands[3 * i], b = operands[3 * i + 1], c = operands[3 * i + 2];
    results[5 * i] = add_(a, b);
    results[5 * i + 1] = mul_(a, b);
    results[5 * i + 2] = fma_(a, b, c);
    results[5 * i + 3] = div_(a, b);
    results[5 * i + 4] = sqrt_(abs_(a));
  }
}
