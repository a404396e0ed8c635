/** Flags and variables of `serve`: what they mean, and one sentence for each mistake. */
import assert from "node:assert/strict";
import { closest } from "../../model/cli/closest.ts";
import { readSettings, SettingsError, settingsHelp, wantsHelp } from "../../routes/settings.ts";

const DEFAULTS = {
  "model": undefined,
  "host": "127.0.0.1",
  "port": 8080,
  "queue": 128,
  "parallel": undefined,
  "queue-seconds": 120,
  "api-key": [],
  "cors-origin": [],
  "allowed-host": [],
  "engine": [],
  "sidecar-key": undefined,
  "gpu-memory": undefined,
  "path": undefined,
  "activations": "int16",
  "deterministic": false,
  "prompt-lookup": 0,
  "max-binding": undefined,
  "drain-seconds": 30,
  "stall-seconds": 60,
};

Deno.test("every setting has a flag and a variable; the flag wins", () => {
  assert.deepEqual(readSettings([], {}), DEFAULTS);
  const variables = {
    MODEL: "claire",
    HOST: "::1",
    PORT: "9000",
    QUEUE_LIMIT: "7",
    PARALLEL: "64",
    API_KEYS: "one, two",
    CORS_ORIGINS: "https://app.example,http://localhost:3000",
    ALLOWED_HOSTS: "claire.example",
    SIDECAR_KEY: "three",
    GPU_MEMORY: "2GiB",
    DECODE_PATH: "portable",
    ACTIVATIONS: "int8",
    DETERMINISTIC: "true",
    PROMPT_LOOKUP: "4",
    MAX_BINDING_BYTES: "1048576",
    DRAIN_SECONDS: "0",
    QUEUE_SECONDS: "9",
    STALL_SECONDS: "8",
  };
  const values = {
    "model": "claire",
    "host": "::1",
    "port": 9000,
    "queue": 7,
    "parallel": 64,
    "queue-seconds": 9,
    "api-key": ["one", "two"],
    "cors-origin": ["https://app.example", "http://localhost:3000"],
    "allowed-host": ["claire.example"],
    "engine": [],
    "sidecar-key": "three",
    "gpu-memory": 2147483648,
    "path": "portable",
    "activations": "int8",
    "deterministic": true,
    "prompt-lookup": 4,
    "max-binding": 1048576,
    "drain-seconds": 0,
    "stall-seconds": 8,
  };
  assert.deepEqual(readSettings([], variables), values);
  const flags = ["--model", "claire", "--host=::1", "--port", "9000", "--queue=7", "--parallel=64"];
  flags.push(
    "--gpu-memory",
    "2GiB",
    "--path",
    "portable",
    "--activations=int8",
    "--deterministic",
    "--prompt-lookup=4",
    "--max-binding",
    "1048576",
    "--drain-seconds=0",
    "--queue-seconds=9",
    "--stall-seconds=8",
  );
  flags.push("--sidecar-key", "three");
  flags.push("--api-key", "one", "--api-key=two", "--allowed-host", "claire.example");
  flags.push("--cors-origin", "https://app.example", "--cors-origin", "http://localhost:3000");
  assert.deepEqual(readSettings(flags, {}), values);
  assert.deepEqual(readSettings(["--api-key", "a"], { API_KEYS: "b" })["api-key"], ["a"]);
  const origins = ["*", "http://[::1]:3000", "chrome-extension://abcdef", "https://a.example:8443"];
  assert.deepEqual(readSettings([], { CORS_ORIGINS: origins.join() })["cors-origin"], origins);
  assert.equal(readSettings(["--port", "1"], variables).port, 1);
  assert.equal(readSettings(["--port", "1", "--port", "2"], {}).port, 2);
  assert.deepEqual(readSettings([], { MODEL: "", PORT: "" }), DEFAULTS);
});

Deno.test("sizes are bytes, or a number with a unit", () => {
  const sizes = {
    "1": 1,
    "123456789": 123456789,
    "1KiB": 1024,
    "1.5GiB": 1610612736,
    "2gib": 2147483648,
    "2 GB": 2e9,
    "3M": 3e6,
    "3Mi": 3145728,
  };
  for (const [text, bytes] of Object.entries(sizes)) {
    assert.equal(readSettings(["--gpu-memory", text], {})["gpu-memory"], bytes, text);
  }
});

Deno.test("a wrong setting is one sentence: which, what it should be, what it is", () => {
  const cases: [args: string[], variables: Record<string, string>, message: string][] = [
    [["--port", "x"], {}, '--port must be a whole number from 0 to 65535, found "x".'],
    [["--port", "65536"], {}, '--port must be a whole number from 0 to 65535, found "65536".'],
    [["--port", "1.5"], {}, '--port must be a whole number from 0 to 65535, found "1.5".'],
    [[], { PORT: "-1" }, 'PORT must be a whole number from 0 to 65535, found "-1".'],
    [[], { QUEUE_LIMIT: "0" }, 'QUEUE_LIMIT must be a whole number from 1 to 1000000, found "0".'],
    [
      ["--gpu-memory", "2 potatoes"],
      {},
      '--gpu-memory must be a number of bytes or a size such as 2GiB, found "2 potatoes".',
    ],
    [["--host", "a b"], {}, '--host must be a host name or address, found "a b".'],
    ...["https://a.example/", "https://a.example:443", "a.example", "https://A.example", "null"]
      .map((origin): [string[], Record<string, string>, string] => [
        ["--cors-origin", origin],
        {},
        "--cors-origin must be an origin as browsers send it, such as https://app.example, or *, " +
        `found "${origin}".`,
      ]),
    [
      [],
      { ALLOWED_HOSTS: "a.example,b.example:80" },
      'ALLOWED_HOSTS must be a host name without a port, found "a.example", "b.example:80".',
    ],
    [["--port"], {}, "--port needs a value: --port NUMBER."],
    [["--port="], {}, "--port needs a value: --port NUMBER."],
    [["--model", "--port", "1"], {}, "--model needs a value: --model MODEL."],
    [["--prot", "1"], {}, "There is no flag --prot. Did you mean --port?"],
    [["--gpumemory=1"], {}, "There is no flag --gpumemory. Did you mean --gpu-memory?"],
    [["--unheard-of"], {}, "There is no flag --unheard-of."],
    [["-p", "1"], {}, "There is no flag -p."],
    [["port"], {}, '"port" is no flag. Did you mean --port?'],
    [["--__proto__", "1"], {}, "There is no flag --__proto__."],
  ];
  for (const [args, variables, message] of cases) {
    assert.throws(() => readSettings(args, variables), new SettingsError(message));
  }
});

Deno.test("no message repeats a key", () => {
  const expected = "must be visible ASCII characters without a comma, found something else.";
  const cases: [args: string[], variables: Record<string, string>, source: string][] = [
    [["--api-key", "clé-secrète"], {}, "--api-key"],
    [["--api-key", "fine", "--api-key", "a,b"], {}, "--api-key"],
    [[], { API_KEYS: "fine,not fine" }, "API_KEYS"],
    [[], { API_KEYS: "fine," }, "API_KEYS"],
  ];
  for (const [args, variables, source] of cases) {
    assert.throws(() => readSettings(args, variables), new SettingsError(`${source} ${expected}`));
  }
});

Deno.test("the help text names every flag and variable", () => {
  const help = settingsHelp();
  for (const name of Object.keys(DEFAULTS)) {
    assert.match(help, new RegExp(`^  --${name} +[A-Z]`, "m"));
  }
  assert.match(help, / MAX_BINDING_BYTES /);
  assert.equal(wantsHelp(["--port", "1", "--help"]), true);
  assert.equal(wantsHelp(["-h"]), true);
  assert.equal(wantsHelp(["--port", "1"]), false);
});

Deno.test("closest() finds slips of the finger, and nothing in a different word", () => {
  const words = ["serve", "generate", "inspect", "tokenize", "synth"];
  const slips = {
    "sreve": "serve",
    "serv": "serve",
    "server": "serve",
    "genrate": "generate",
    "tokenise": "tokenize",
    "snyth": "synth",
    "inspect": "inspect",
  };
  for (const [slip, word] of Object.entries(slips)) assert.equal(closest(slip, words), word);
  for (const other of ["", "x", "deploy", "run"]) assert.equal(closest(other, words), undefined);
});

Deno.test("an edge has sidecars and their key, and no setting of a GPU", () => {
  const flags = ["--engine", "http://a:8080/", "--engine=https://b.example/gpu", "--sidecar-key=k"];
  const settings = readSettings(flags, {});
  assert.deepEqual(settings.engine, ["http://a:8080", "https://b.example/gpu"]);
  assert.equal(settings["sidecar-key"], "k");
  const variables = { ENGINE: "http://a:1, http://b:2", SIDECAR_KEY: "k" };
  assert.deepEqual(readSettings([], variables).engine, ["http://a:1", "http://b:2"]);
  const wrong: [string[], RegExp][] = [
    [["--engine", "http://a:1"], /^--engine needs the sidecars' key: --sidecar-key KEY\.$/],
    [[...flags, "--path", "portable"], /^--path is for the sidecar/],
    [[...flags, "--prompt-lookup", "4"], /^--prompt-lookup is for the sidecar/],
    [[...flags, "--gpu-memory", "2GiB"], /^--gpu-memory is for the sidecar/],
    [["--engine", "a:8080"], /^--engine must be a server's address, .* found "a:8080"\.$/],
    [["--engine", "ftp://a"], /^--engine must be/],
    [["--engine", "http://user:word@a"], /^--engine must be/],
    [["--sidecar-key", "sec ret"], /^--sidecar-key must be .* found something else\.$/],
  ];
  for (const [args, message] of wrong) {
    assert.throws(() => readSettings(args, {}), { name: "SettingsError", message }, args.join(" "));
  }
  assert.match(settingsHelp(), /--engine URL +ENGINE .*\n +--sidecar-key KEY +SIDECAR_KEY /);
});
