// What all products share: panels, which matrix a slot takes, and where a dot goes: with one segment of 2048 inputs to
// its output, with several as a part of it, which `join_segments` (products.cl) joins by the tree.
#define PANEL 32
#define PANEL_PLACE(g, o, k, outputs, inputs) \
  ((((g) * (((outputs) + PANEL - 1) / PANEL) + (o) / PANEL) * (inputs) + (k)) * PANEL + (o) % PANEL)

// Which matrix of a packed one slot i takes: kind 0 the only one, 1 in turn, 2 by a list; -1 where the list says none.
DEVICE i64 group_of(i64 kind, const GLOBAL int* list, i64 stride, i64 i, i64 groups) {
  if (kind == 0) return 0;
  if (kind == 1) return i % groups;
  const i64 g = list[i * stride];
  return g >= 0 && g < groups ? g : -1;
}

// A dot of slot i and output o, or a segment of it; is_added: to what is there: to what is there.
#define STORE_DOT(i, o, value)                                                    \
  {                                                                               \
    if (GROUPS(2) > 1) {                                                          \
      parts[(GROUP(2) * slots + (i)) * outputs + (o)] = (value);                  \
    } else {                                                                      \
      const float dot_ = add_((value), 0.0f);                                     \
      GLOBAL float* at_ = out + (i)*out_stride + (o);                             \
      *at_ = has_bias ? add_(dot_, bias[o]) : is_added ? add_(*at_, dot_) : dot_; \
    }                                                                             \
  }
