/** Reads Prometheus's text format, by its grammar; fails on a line that is not in it. */

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface Exposition {
  /** Families and what they are: counter, gauge, histogram. */
  types: Map<string, string>;
  samples: Sample[];
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

export function readExposition(text: string): Exposition {
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type) types.set(type[1]!, type[2]!);
    else if (!/^# HELP \S+ \S/.test(line)) samples.push(readSample(line));
  }
  return { types, samples };
}

function readSample(line: string): Sample {
  const found = SAMPLE.exec(line);
  const value = found?.[3] === "+Inf" ? Infinity : Number(found?.[3] ?? NaN);
  if (!found || Number.isNaN(value)) throw new Error(`no line of the format: ${line}`);
  const labels: Record<string, string> = {};
  const inside = found[2] ?? "";
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < inside.length) {
    const label = LABEL.exec(inside);
    if (!label) throw new Error(`no labels of the format: ${line}`);
    labels[label[1]!] = label[2]!;
  }
  return { name: found[1]!, labels, value };
}

/** The value of the one sample with this name and these labels; undefined if there is none. */
export function valueOf(
  { samples }: Exposition,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const found = samples.filter((sample) =>
    sample.name === name &&
    Object.entries(labels).every(([label, value]) => sample.labels[label] === value)
  );
  if (found.length > 1) throw new Error(`${name} has ${found.length} samples with these labels`);
  return found[0]?.value;
}
