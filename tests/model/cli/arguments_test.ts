import assert from "node:assert/strict";
import fc from "fast-check";
import { Arguments, type FlagKinds, UsageError } from "../../../model/cli/arguments.ts";

const KINDS: FlagKinds = {
  model: { value: "DIR" },
  n: { value: "N" },
  stop: { value: "TEXT" },
  greedy: "switch",
};

Deno.test("flags and other arguments in any order", () => {
  const args = new Arguments(["--model", "a b", "- Bonjour", "--greedy", "--n=-1", "-"], KINDS);
  assert.equal(args.text("model"), "a b");
  assert.equal(args.text("n"), "-1");
  assert.deepEqual(args.positionals, ["- Bonjour", "-"]);
  assert.deepEqual([args.has("greedy"), args.has("stop"), args.help], [true, false, false]);
});

Deno.test("a repeated flag keeps all values, and the last one counts", () => {
  const args = new Arguments(["--stop", "a", "--stop=b=c", "--stop=", "--stop", "- x"], KINDS);
  assert.deepEqual(args.all("stop"), ["a", "b=c", "", "- x"]);
  assert.equal(args.text("stop"), "- x");
});

Deno.test("what follows -- is no flag, whatever it looks like", () => {
  fc.assert(fc.property(fc.array(fc.string()), (rest) => {
    assert.deepEqual(new Arguments(["--", ...rest], KINDS).positionals, rest);
  }));
});

Deno.test("any value passes through the form with =", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (value) => {
    assert.equal(new Arguments([`--stop=${value}`], KINDS).text("stop"), value);
  }));
});

Deno.test("help is asked for by -h and --help, and nothing after it matters", () => {
  for (const flag of ["-h", "--help"]) {
    assert.ok(new Arguments(["--greedy", flag, "--nonsense"], KINDS).help);
  }
  assert.ok(!new Arguments(["--", "--help"], KINDS).help);
});

Deno.test("each mistake has its sentence", () => {
  const mistakes: [string[], string][] = [
    [["--foo"], "There is no flag --foo. Try --help."],
    [["-m", "x"], "There is no flag -m. Try --help."],
    [["--toString=1"], "There is no flag --toString. Try --help."],
    [["--model"], "--model needs a value: --model DIR."],
    [["--model", "--greedy"], "--model needs a value: --model DIR."],
    [["--greedy=yes"], '--greedy takes no value, found "yes".'],
  ];
  for (const [args, message] of mistakes) {
    assert.throws(() => new Arguments(args, KINDS), new UsageError(message));
  }
});

Deno.test("values are checked and read", () => {
  const read = (text: string) => new Arguments(["--n", text], KINDS);
  assert.equal(read("12").whole("n", 1, 12), 12);
  assert.equal(read("-.5e1").number("n", "any", () => true), -5);
  assert.equal(read("b").choice("n", ["a", "b"], "a"), "b");
  const none = new Arguments([], KINDS);
  assert.deepEqual(
    [none.whole("n", 0, 1), none.number("n", "any", () => true), none.choice("n", ["a"], "a")],
    [undefined, undefined, "a"],
  );
  for (const text of ["0", "13", "1.5", "", " 3", "1e1", "0x1", "+3"]) {
    const message = `--n must be a whole number from 1 to 12, found "${text}".`;
    assert.throws(() => read(text).whole("n", 1, 12), new UsageError(message));
  }
  for (const text of ["7", "NaN", "Infinity", "", "0x1", "1e999", "."]) {
    const message = `--n must be below 5, found "${text}".`;
    assert.throws(() => read(text).number("n", "below 5", (x) => x < 5), new UsageError(message));
  }
  const message = '--n must be a, b or c, found "d".';
  assert.throws(() => read("d").choice("n", ["a", "b", "c"], "a"), new UsageError(message));
});
