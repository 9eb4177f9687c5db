// The numbers of /metrics: lines of `name{labels} value`, as Prometheus has them.
const LINE = /^([a-zA-Z_:][\w:]*)(\{[^}]*\})? (\S+)$/;

class Numbers {
  constructor(values) {
    this.values = values;
  }

  /** Of all models together; 0 where there is none. */
  total(name) {
    return (this.values.get(name) ?? []).reduce((sum, each) => sum + each.value, 0);
  }

  /** Mean of a histogram since `before`; nothing where nothing came. */
  meanSince(before, name) {
    const count = this.total(`${name}_count`) - before.total(`${name}_count`);
    return count > 0 ? (this.total(`${name}_sum`) - before.total(`${name}_sum`)) / count : null;
  }

  /** [labels, value] of each. */
  each(name) {
    return (this.values.get(name) ?? []).map(({ labels, value }) => [labels, value]);
  }
}

export function numbersOf(text) {
  const values = new Map();
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    if (!match) continue;
    const value = Number(match[3]);
    if (!Number.isFinite(value)) continue;
    if (!values.has(match[1])) values.set(match[1], []);
    values.get(match[1]).push({ labels: match[2] ?? "", value });
  }
  return new Numbers(values);
}
