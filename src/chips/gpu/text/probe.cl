// What the device makes of the scalar operations, and of products in sums, which no compiler may contract: nine results
// for each triple of operands.
KERNEL(32, 1) probe(HEAD, MEM(float, operands), MEM(float, results), i64 n) {
  USE(float, operands);
  USE(float, results);
  FOR_ROWS (i, n) {
    const float a = operands[3 * i], b = operands[3 * i + 1], c = operands[3 * i + 2];
    GLOBAL float* r = results + 9 * i;
    r[0] = add_(a, b);
    r[1] = mul_(a, b);
    r[2] = fma_(a, b, c);
    r[3] = add_(mul_(a, b), c);
    r[4] = sub_(mul_(a, b), c);
    r[5] = rint_(a);
    r[6] = exp_(a);
    r[7] = div_(a, b);
    r[8] = sqrt_(abs_(a));
  }
}
