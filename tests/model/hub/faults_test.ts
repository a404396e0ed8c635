/** Everything that goes wrong between here and a hub, one at a time. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { pull, type PullOptions } from "../../../model/hub/pull.ts";
import { hubSettings } from "../../../model/hub/settings.ts";
import { type Branches, MockHub, REPO, type Seen, sha256 } from "./mock_hub.ts";
import { largeRepository, listing, type Place, repository, withHub } from "./repositories.ts";

const MAIN = { repo: REPO, revision: "main" };
const WEIGHTS = "model.safetensors";
const branches: Branches = { main: await repository() };
const large: Branches = { main: await largeRepository(70 * 2 ** 20) };

interface Waited {
  reason: string;
  seconds: number;
}

/** Pulls without waiting; what would have been waited for is told. */
async function attempt({ variables }: Place, more: Partial<PullOptions> & { token?: string } = {}) {
  const waits: Waited[] = [];
  const { token, ...rest } = more;
  const pulled = pull(MAIN, {
    settings: hubSettings({ ...variables, ...token && { HF_TOKEN: token } }),
    wait: () => Promise.resolve(),
    onRetry: (reason, seconds) => waits.push({ reason, seconds }),
    ...rest,
  });
  const [outcome] = await Promise.allSettled([pulled]);
  return {
    waits,
    outcome,
    message: outcome.status === "rejected" ? `${outcome.reason.message}` : "",
  };
}

function assertWhole(place: Place, of = branches): void {
  const blob = join(
    place.cache,
    "models--TheBloke--Claire-7B-0.1-GPTQ/blobs",
    sha256(of.main![WEIGHTS]!.bytes),
  );
  assert.ok(Deno.readFileSync(blob).every((byte, i) => byte === of.main![WEIGHTS]!.bytes[i]));
  assert.deepEqual(listing(place.cache).filter((path) => /clairon/.test(path)), []);
}

/** A fault for the first requests of the weights' content that `applies`. */
function first(count: number, make: (seen: Seen) => ReturnType<NonNullable<MockHub["fault"]>>) {
  return (seen: Seen) =>
    seen.file === WEIGHTS && seen.method === "GET" && seen.host === "cdn" && count-- > 0
      ? make(seen)
      : undefined;
}

Deno.test("connections that are cut go on where they were", () =>
  withHub({ branches: large }, async (place) => {
    const { hub } = place;
    hub.fault = first(5, () => ({ cutAfter: 1_000_000 }));
    const { outcome, waits } = await attempt(place);
    assert.equal(outcome.status, "fulfilled");
    assertWhole(place, large);
    assert.equal(waits.length, 5, JSON.stringify(waits));
    // Nothing that came is asked for again, but for what a cut connection had not handed on.
    const ranges = hub.downloadsOf(WEIGHTS).filter(({ host }) => host === "cdn").map(({ range }) =>
      /bytes=(\d+)-/.exec(range!)![1]
    );
    assert.equal(new Set(ranges).size, ranges.length, `${ranges}`);
  }));

Deno.test("a server without ranges sends the whole, again from the start after a cut", async () => {
  await withHub({ branches: large, ranges: false }, async (place) => {
    assert.equal((await attempt(place)).outcome.status, "fulfilled");
    assertWhole(place, large);
  });
  await withHub({ branches, ranges: false }, async (place) => {
    place.hub.fault = first(2, () => ({ cutAfter: 200_000 }));
    assert.equal((await attempt(place)).outcome.status, "fulfilled");
    assertWhole(place);
    place.hub.fault = first(1000, () => ({ cutAfter: 200_000 }));
    await Deno.remove(place.cache, { recursive: true });
    assert.match((await attempt(place)).message, /breaks off model\.safetensors and cannot go on/);
  });
});

for (const status of [429, 500, 502, 503, 504]) {
  Deno.test(`a ${status} is tried again, wherever it comes from`, () =>
    withHub({ branches }, async (place) => {
      const places = new Set<string>();
      place.hub.fault = ({ host, path, method }) => {
        const key = `${host} ${method} ${path}`;
        if (places.has(key)) return undefined;
        places.add(key);
        return new Response("busy", { status, headers: { "retry-after": "3" } });
      };
      const { outcome, waits } = await attempt(place);
      assert.equal(outcome.status, "fulfilled");
      assertWhole(place);
      assert.equal(waits.length, places.size);
      assert.ok(
        waits.every(({ reason, seconds }) =>
          seconds === 3 && reason.endsWith(`answered ${status}`)
        ),
      );
    }));
}

Deno.test("a server that never recovers ends the pull with a sentence; what came is kept", () =>
  withHub({ branches: large }, async (place) => {
    let count = 0;
    place.hub.fault = ({ file, host }) =>
      file === WEIGHTS && host === "cdn" && count++ > 0
        ? new Response(null, { status: 503 })
        : undefined;
    const { message } = await attempt(place);
    assert.match(message, /^localhost:\d+ answered 503, 6 times in a row\. Try again later\.$/);
    place.hub.fault = undefined;
    const { outcome } = await attempt(place);
    assert.ok(outcome.status === "fulfilled");
    assert.ok(outcome.value.fetchedBytes < large.main![WEIGHTS]!.bytes.length);
    assertWhole(place, large);
  }));

Deno.test("Retry-After beyond patience, and a hub that is not there", async () => {
  await withHub({ branches }, async (place) => {
    place.hub.fault = () => new Response(null, { status: 429, headers: { "retry-after": "7200" } });
    assert.match(
      (await attempt(place)).message,
      /answered 429 and wants no other request for 7200/,
    );
  });
  await withHub({ branches }, async (place) => {
    const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const host = `127.0.0.1:${gone.addr.port}`;
    gone.close();
    const nowhere = { ...place, variables: { ...place.variables, HF_ENDPOINT: `http://${host}` } };
    const { message, waits } = await attempt(nowhere);
    const sentence = `${host} could not be read: the connection was refused (`;
    assert.ok(message.startsWith(sentence), message);
    assert.match(message, /\?\), 3 times in a row\. Try again later\.$/);
    assert.equal(waits.length, 2);
  });
});

Deno.test("an address of the other host that expired is asked for anew", () =>
  withHub({ branches: large }, async (place) => {
    let served = 0;
    place.hub.fault = ({ host }) =>
      host === "cdn" && ++served === 2 ? new Response("expired", { status: 403 }) : undefined;
    const { outcome } = await attempt(place, { connections: 1 });
    assert.equal(outcome.status, "fulfilled");
    const hosts = place.hub.downloadsOf(WEIGHTS).map(({ host }) => host);
    assert.deepEqual(hosts, ["hub", "cdn", "cdn", "hub", "cdn", "cdn"]);
  }));

Deno.test("content that is not what its hash says is thrown away", async () => {
  for (const file of [WEIGHTS, "config.json"]) {
    await withHub({ branches }, async (place) => {
      const { bytes } = branches.main![file]!;
      const damaged = bytes.slice();
      damaged[bytes.length - 1]! ^= 1;
      place.hub.fault = ({ file: asked, method, host }) =>
        asked === file && method === "GET" && (host === "cdn" || file !== WEIGHTS)
          ? new Response(damaged)
          : undefined;
      const { message } = await attempt(place);
      const name = file === WEIGHTS ? "SHA-256" : "git's SHA-1";
      assert.match(message, new RegExp(`^${file}: ${name} should be [0-9a-f]+, found [0-9a-f]+: `));
      const kept = listing(place.cache).filter((path) => /clairon|snapshots/.test(path));
      assert.ok(!kept.some((path) => path.includes(file) || path.includes("clairon")));
    });
  }
});

Deno.test("damage in what an earlier pull left is repaired without a word", () =>
  withHub({ branches: large }, async (place) => {
    place.hub.fault = ({ range }) =>
      range && Number(/\d+/.exec(range)![0]) > 40 * 2 ** 20
        ? new Response(null, { status: 404 })
        : undefined;
    assert.notEqual((await attempt(place, { connections: 1 })).message, "");
    const blobs = join(place.cache, "models--TheBloke--Claire-7B-0.1-GPTQ/blobs");
    const partial = [...Deno.readDirSync(blobs)].find(({ name }) => name.endsWith("incomplete"))!;
    const file = await Deno.open(join(blobs, partial.name), { write: true });
    await file.write(new Uint8Array(100).fill(0x55));
    file.close();
    place.hub.fault = undefined;
    assert.equal((await attempt(place)).outcome.status, "fulfilled");
    assertWhole(place, large);
  }));

Deno.test("lies about sizes are found out", async () => {
  const lies: [string, (headers: Headers, seen: Seen) => void, RegExp][] = [
    [
      "the hub says more than there is",
      (headers) => change(headers, "x-linked-size", 1),
      /should have \d+ bytes/,
    ],
    [
      "the hub says less than there is",
      (headers) => change(headers, "x-linked-size", -1),
      /should have \d+ bytes/,
    ],
  ];
  for (const [name, lie, message] of lies) {
    const options = {
      branches,
      headers: (seen: Seen, headers: Headers) => {
        if (seen.file === WEIGHTS && seen.host === "hub") lie(headers, seen);
      },
    };
    await withHub(options, async (place) => {
      assert.match((await attempt(place)).message, message, name);
    });
  }
  const shifted = {
    branches: large,
    headers: ({ host }: Seen, headers: Headers) => {
      const range = headers.get("content-range");
      if (host === "cdn" && range) headers.set("content-range", range.replace(/\/\d+/, "/99"));
    },
  };
  await withHub(shifted, async (place) => {
    assert.match((await attempt(place)).message, /the server has 99 bytes/);
  });
});

function change(headers: Headers, name: string, by: number): void {
  headers.set(name, `${Number(headers.get(name)) + by}`);
}

Deno.test("a 416, another hash or another commit halfway ends the pull with a sentence", async () => {
  await withHub({ branches: large }, async (place) => {
    place.hub.fault = ({ range }) => range ? new Response(null, { status: 416 }) : undefined;
    assert.match(
      (await attempt(place)).message,
      /^model\.safetensors should have 73400320 bytes .* fewer/,
    );
  });
  const liars: [(headers: Headers, seen: Seen) => void, RegExp][] = [
    [
      (headers, { method }) =>
        method === "GET" && headers.set("x-linked-etag", `"${"0".repeat(64)}"`),
      /another hash than before/,
    ],
    [
      (headers) => headers.set("x-linked-etag", '"../../../etc/passwd"'),
      /no usable hash for model/,
    ],
    [(headers) => headers.set("x-linked-etag", "W/nothing"), /no usable hash for model/],
    [(headers) => headers.set("x-repo-commit", "0".repeat(40)), /the commit of model/],
    [(headers) => headers.set("x-linked-size", "1e9"), /the size of model\.safetensors should be/],
    [(headers) => headers.set("location", "file:///etc/passwd"), /not safe to follow/],
  ];
  for (const [lie, message] of liars) {
    const headers = (seen: Seen, headers: Headers) => {
      if (seen.file === WEIGHTS && seen.host === "hub") lie(headers, seen);
    };
    await withHub({ branches, headers }, async (place) => {
      assert.match((await attempt(place)).message, message);
      assert.deepEqual(listing(place.cache).filter((path) => path.includes("passwd")), []);
    });
  }
});

Deno.test("an answer that is no hub's is named", async () => {
  const answers: [Response, RegExp][] = [
    [new Response("<html>login</html>"), /the answer should be JSON .*HF_ENDPOINT/],
    [
      Response.json({ sha: "../../x", siblings: [] }),
      /the commit of main should be 40 hexadecimal/,
    ],
    [Response.json([]), /the commit of main should be 40 hexadecimal digits, found nothing/],
    [new Response(null, { status: 418 }), /The hub answered 418/],
  ];
  for (const [answer, message] of answers) {
    await withHub({ branches }, async (place) => {
      place.hub.fault = () => answer.clone();
      assert.match((await attempt(place)).message, message);
    });
  }
});

Deno.test("redirects without an end", () =>
  withHub({ branches }, async (place) => {
    place.hub.fault = ({ path }) =>
      new Response(null, { status: 307, headers: { location: path } });
    assert.match((await attempt(place)).message, /redirects without an end/);
  }));
