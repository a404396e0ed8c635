/** Which bytes are there: against a plain array of flags. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { journalHead, parseJournal, rangeLine, Ranges } from "../../../model/hub/ranges.ts";

const BYTES = 60;
const range = fc.tuple(fc.nat(BYTES), fc.nat(BYTES))
  .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }));

Deno.test("ranges are what was added, in any order", () => {
  fc.assert(
    fc.property(
      fc.array(range, { maxLength: 12 }),
      fc.integer({ min: 1, max: 20 }),
      (added, most) => {
        const ranges = new Ranges();
        const flags: boolean[] = new Array(BYTES).fill(false);
        for (const { start, end } of added) {
          ranges.add(start, end);
          flags.fill(true, start, end);
        }
        assert.equal(ranges.size, flags.filter(Boolean).length);
        const gap = flags.indexOf(false);
        assert.equal(ranges.prefix, gap < 0 ? BYTES : gap);
        const missing = ranges.missing(BYTES, most);
        for (const [i, { start, end }] of missing.entries()) {
          assert.ok(end > start && end - start <= most);
          assert.ok(i === 0 || missing[i - 1]!.end <= start);
          for (let at = start; at < end; at++) assert.equal(flags[at], false);
        }
        const count = missing.reduce((sum, { start, end }) => sum + end - start, 0);
        assert.equal(count, BYTES - ranges.size);
        ranges.clear();
        assert.deepEqual([ranges.size, ranges.prefix], [0, 0]);
      },
    ),
  );
});

Deno.test("a journal that was cut anywhere says only what is true", () => {
  fc.assert(fc.property(fc.array(range, { maxLength: 6 }), fc.nat(200), (written, cut) => {
    const ranges = written.filter(({ start, end }) => start < end);
    const text = journalHead(BYTES) + ranges.map(rangeLine).join("");
    const read = parseJournal(text.slice(0, cut), BYTES);
    if (cut < journalHead(BYTES).length) return assert.equal(read, undefined);
    assert.deepEqual(read, ranges.slice(0, read!.length));
    assert.deepEqual(parseJournal(text, BYTES), ranges);
  }));
});

Deno.test("a journal of another file, or with nonsense in it, is not believed", () => {
  assert.equal(parseJournal(journalHead(61) + "0 5\n", BYTES), undefined);
  assert.equal(parseJournal("", BYTES), undefined);
  for (const line of ["5 5", "6 5", "0 61", "-1 5", "0 5 6", "a b", "0x0 5", ""]) {
    assert.deepEqual(parseJournal(`${journalHead(BYTES)}0 9\n${line}\n9 12\n`, BYTES), [
      { start: 0, end: 9 },
    ]);
  }
});
