import assert from "node:assert/strict";
import fc from "fast-check";
import { Arguments, UsageError } from "../../../model/cli/arguments.ts";
import { type Flags, flagsHelp } from "../../../model/cli/flags.ts";

const KINDS: Flags = {
  model: { value: "DIR", variable: "MODEL", help: "a folder" },
  n: { value: "N", variable: "NUMBER", help: "a number" },
  stop: { value: "TEXT", variable: "STOP", help: "a text" },
  greedy: { variable: "GREEDY", help: "a switch" },
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
    [["--modle", "x"], "There is no flag --modle. Did you mean --model? Try --help."],
    [["--gredy"], "There is no flag --gredy. Did you mean --greedy? Try --help."],
    [["--hlep"], "There is no flag --hlep. Did you mean --help? Try --help."],
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

Deno.test("every flag is also a variable, and the flag wins", () => {
  const variables = { MODEL: "a", NUMBER: "3", STOP: "--x", GREEDY: "1", OTHER: "b" };
  const args = new Arguments([], KINDS, variables);
  assert.deepEqual([args.text("model"), args.whole("n", 1, 9), args.all("stop")], ["a", 3, [
    "--x",
  ]]);
  assert.ok(args.has("greedy"));
  const flags = new Arguments(["--model", "c", "--stop", "d"], KINDS, variables);
  assert.deepEqual([flags.text("model"), flags.all("stop")], ["c", ["d"]]);
  for (const off of ["", "0", "no", "False", "OFF"]) {
    assert.ok(!new Arguments([], KINDS, { GREEDY: off }).has("greedy"), off);
  }
  for (const on of ["1", "yes", "True", "ON"]) {
    assert.ok(new Arguments([], KINDS, { GREEDY: on }).has("greedy"), on);
  }
  assert.equal(new Arguments([], KINDS, { MODEL: "" }).text("model"), undefined);
  assert.throws(
    () => new Arguments([], KINDS, { GREEDY: "maybe" }),
    new UsageError('GREEDY must be 1 or 0, found "maybe".'),
  );
  assert.throws(
    () => new Arguments([], KINDS, { NUMBER: "x" }).whole("n", 1, 9),
    new UsageError('NUMBER must be a whole number from 1 to 9, found "x".'),
  );
  assert.ok(new Arguments(["--help"], KINDS, { GREEDY: "maybe" }).help);
});

Deno.test("the help text has a line for each flag, with its variable", () => {
  const lines = flagsHelp(KINDS).split("\n");
  assert.equal(lines.length, 5);
  assert.match(lines[0]!, /^ {2}--model DIR +MODEL +a folder$/);
  assert.match(lines[3]!, /^ {2}--greedy +GREEDY +a switch$/);
  assert.match(lines[4]!, /^ {2}--help +this text$/);
});
