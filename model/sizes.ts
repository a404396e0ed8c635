/** Numbers of bytes for people. */

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** In powers of ten, as disks and cards are sold: "4.04 GB". */
export function formatBytes(bytes: number): string {
  const step = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  return `${step === 0 ? bytes : (bytes / 1000 ** step).toFixed(2)} ${UNITS[step]}`;
}
