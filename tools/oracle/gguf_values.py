"""Exact values of GGUF weight blocks: every kind that naru reads, computed in float64 and rounded once to float32.

The gguf package rounds between steps in float32; here the result is the real value of the block, which is what
naru's f32 mode is defined by. Also makes random blocks of the K kinds, which the package cannot quantise to.
"""

import numpy as np

# kind -> (elements a block, bytes a block)
BLOCKS = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
}


def _half(raw):
    return np.ascontiguousarray(raw).view(np.float16).astype(np.float64)


def _nibbles(raw):
    return np.concatenate([raw & 15, raw >> 4], axis=1).astype(np.float64)


def _fifth_bits(raw):
    word = np.ascontiguousarray(raw).view(np.uint32)
    return ((word >> np.arange(32, dtype=np.uint32)) & 1).astype(np.float64) * 16


def _six_bit_scales(raw):
    """The eight 6-bit scales and eight 6-bit minima of a Q4_K or Q5_K block."""
    low, mid, high = raw[:, 0:4], raw[:, 4:8], raw[:, 8:12]
    scale = np.concatenate([low & 63, (high & 15) | ((low >> 6) << 4)], axis=1)
    least = np.concatenate([mid & 63, (high >> 4) | ((mid >> 6) << 4)], axis=1)
    return scale.astype(np.float64), least.astype(np.float64)


def _k45(raw, fifth):
    d, dmin = _half(raw[:, 0:2]), _half(raw[:, 2:4])
    scale, least = _six_bit_scales(raw[:, 4:16])
    codes = raw[:, 48:176] if fifth else raw[:, 16:144]
    pairs = codes.reshape(-1, 4, 32)
    q = np.stack([pairs & 15, pairs >> 4], axis=2).reshape(-1, 8, 32).astype(np.float64)
    if fifth:
        bits = raw[:, 16:48]
        q += np.stack([((bits >> b) & 1) * 16 for b in range(8)], axis=1).astype(np.float64)
    return ((d * scale)[:, :, None] * q - (dmin * least)[:, :, None]).reshape(-1, 256)


def _k6(raw):
    low = raw[:, 0:128].reshape(-1, 2, 2, 32)
    high = raw[:, 128:192].reshape(-1, 2, 1, 32)
    scale = np.ascontiguousarray(raw[:, 192:208]).view(np.int8).astype(np.float64)
    d = _half(raw[:, 208:210])
    four = np.concatenate([low & 15, low >> 4], axis=2)
    two = np.concatenate([(high >> (2 * k)) & 3 for k in range(4)], axis=2)
    q = (four | (two << 4)).astype(np.float64) - 32
    return (q.reshape(-1, 16, 16) * (d * scale)[:, :, None]).reshape(-1, 256)


def dequantise(raw, kind, shape):
    """float32 array of `shape` (slowest first) from the raw bytes of a tensor."""
    raw = np.frombuffer(bytes(raw), dtype=np.uint8)
    if kind == "F32":
        return raw.view(np.float32).reshape(shape).copy()
    if kind == "F16":
        return raw.view(np.float16).astype(np.float32).reshape(shape)
    if kind == "BF16":
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    raw = raw.reshape(-1, BLOCKS[kind][1])
    if kind == "Q8_0":
        values = _half(raw[:, 0:2]) * np.ascontiguousarray(raw[:, 2:34]).view(np.int8).astype(np.float64)
    elif kind == "Q4_0":
        values = _half(raw[:, 0:2]) * (_nibbles(raw[:, 2:18]) - 8)
    elif kind == "Q4_1":
        values = _half(raw[:, 0:2]) * _nibbles(raw[:, 4:20]) + _half(raw[:, 2:4])
    elif kind == "Q5_0":
        values = _half(raw[:, 0:2]) * (_nibbles(raw[:, 6:22]) + _fifth_bits(raw[:, 2:6]) - 16)
    elif kind == "Q5_1":
        codes = _nibbles(raw[:, 8:24]) + _fifth_bits(raw[:, 4:8])
        values = _half(raw[:, 0:2]) * codes + _half(raw[:, 2:4])
    elif kind in ("Q4_K", "Q5_K"):
        values = _k45(raw, kind == "Q5_K")
    elif kind == "Q6_K":
        values = _k6(raw)
    else:
        raise ValueError(f"kind {kind}: known are {' '.join(BLOCKS)}")
    return values.astype(np.float32).reshape(shape)


def random_blocks(rng, kind, shape):
    """Raw bytes [rows, bytes a row] of random blocks of a K kind: any bit pattern, sane scales, mean about zero."""
    elements, size = BLOCKS[kind]
    rows = int(np.prod(shape[:-1]))
    raw = rng.integers(0, 256, (rows * shape[-1] // elements, size), dtype=np.uint8)
    spread = 1.5 / np.sqrt(shape[-1])
    unit = {"Q4_K": spread / 250, "Q5_K": spread / 500, "Q6_K": spread / 1400}[kind]
    d = (unit * rng.uniform(0.7, 1.3, len(raw))).astype(np.float16)
    if kind == "Q6_K":
        raw[:, 208:210] = d.view(np.uint8).reshape(-1, 2)
    else:
        middle = 7.5 if kind == "Q4_K" else 15.5
        raw[:, 0:2] = d.view(np.uint8).reshape(-1, 2)
        raw[:, 2:4] = (d.astype(np.float64) * middle).astype(np.float16).view(np.uint8).reshape(-1, 2)
    return raw.reshape(rows, -1)
