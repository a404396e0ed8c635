/** The page and its server: the prompt and the code it shows, the key, and what can go wrong. */
import assert from "node:assert/strict";
import { EngineError } from "../../model/engine.ts";
import { ids, until } from "../routes/helpers.ts";
import { pageTest } from "./browser.ts";
import { choose, lines, notice, prompts, say, settled, speaking } from "./steps.ts";

pageTest(
  "the exact prompt is shown, the line being written included",
  {},
  async ({ page, engine }) => {
    await choose(page, "named");
    await page.click("#prompt summary");
    await page.fill("#draft", "Bonjour !");
    const shown = page.locator("#prompt-text");
    await shown.filter({ hasText: "Bonjour !" }).waitFor();
    assert.equal(await shown.textContent(), "[Camille:] Bonjour !\n[Dominique:]");
    assert.equal(await page.textContent("#prompt-tokens"), "33 jetons");
    await page.fill("#start", "Eh bien");
    await shown.filter({ hasText: "Eh bien" }).waitFor();
    const promised = await shown.textContent();
    await page.click("#answer");
    await settled(page);
    assert.deepEqual(prompts(engine), [promised], "it is what the model reads");
  },
);

pageTest("the curl command and the JavaScript run as they are", {}, async ({ page, url }) => {
  await say(page, "J'ai faim, « l'ami » !");
  await page.fill("#draft", 'Et "vous" ?');
  await page.click("#code summary");
  await page.locator("#curl:not(:empty)").waitFor();
  const copy = async (what: string) => {
    await page.click(`[data-copy=${what}]`);
    await page.getByText("Copié.").first().waitFor();
    return await page.evaluate("navigator.clipboard.readText()") as string;
  };

  const curl = await copy("curl");
  assert.ok(curl.startsWith(`curl '${url}/v1/dialogues'`), curl);
  const shell = await run("sh", ["-c", `${curl} -sS`]);
  const { turns, finish_reason } = JSON.parse(shell);
  assert.deepEqual(turns.map(({ speaker }: { speaker: string }) => speaker), ["Dominique"]);
  assert.equal(turns[0].text, "Oui, bien sûr.");
  assert.equal(typeof finish_reason, "string");

  const module = await copy("javascript");
  const file = await Deno.makeTempFile({ suffix: ".mjs" });
  try {
    await Deno.writeTextFile(file, module);
    const printed = await run(Deno.execPath(), ["run", "--no-config", "--allow-net", file]);
    assert.equal(printed, "Dominique : Oui, bien sûr.\n");
  } finally {
    await Deno.remove(file);
  }
});

async function run(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

pageTest("a key is asked for, used, and kept in this tab only", {
  keys: ["sesame"],
  expected: /status of 401/,
}, async ({ page }) => {
  await say(page, "Bonjour !");
  assert.equal(
    await notice(page),
    "Ce serveur demande une clé d’accès\u00a0: indiquez-la, puis recommencez.",
  );
  assert.equal(await page.inputValue("#draft"), "Bonjour !", "nothing typed is lost");
  await page.fill("#key", "wrong");
  await page.locator("#key").press("Enter");
  await page.click("#answer");
  await page.getByText("refuse cette clé").waitFor();
  await page.fill("#key", "sesame");
  await page.locator("#key").press("Enter");
  await page.click("#answer");
  await settled(page);
  assert.equal((await lines(page)).length, 2);
  assert.equal(await page.textContent("#alert"), "");
  await page.getByText("par fake").waitFor();

  await page.click("#code summary");
  await page.locator("#curl:not(:empty)").waitFor();
  const code = await page.locator("#code").innerText();
  assert.match(code, /\$CLAIRON_KEY/);
  assert.doesNotMatch(await page.locator("body").innerText(), /sesame/);
  assert.deepEqual(await page.evaluate("Object.values(localStorage)"), []);
  assert.deepEqual(await page.evaluate("document.cookie"), "");
  assert.equal(await page.evaluate(`sessionStorage["clairon.key"]`), "sesame");
});

const refusals: [name: string, engine: object, status: number, sentence: RegExp][] = [
  ["too busy", { capacity: 0 }, 429, /^Le serveur est trop occupé\u00a0: recommencez/],
  ["draining", { state: "draining" }, 503, /^Le serveur s’arrête/],
  ["failed", { failAfter: 0 }, 424, /^Le calcul a échoué sur le serveur/],
  ["too long", { info: { maxPositions: 100 } }, 422, /^La scène est trop longue pour le modèle/],
];

for (const [name, engine, status, sentence] of refusals) {
  pageTest(`${name} is told in one sentence (${status})`, {
    engine,
    expected: new RegExp(`status of ${status}`),
  }, async ({ page }) => {
    await say(page, "Bonjour !");
    assert.match(await notice(page), sentence);
    assert.deepEqual(await lines(page), []);
    assert.equal(await page.inputValue("#draft"), "Bonjour !");
    await page.getByLabel("EN, English").click();
    assert.match(await notice(page), /^The (server|computation|scene) /);
  });
}

pageTest("while the model loads the page says how far it is", {
  engine: { state: "loading", progress: 0.42 },
  expected: /status of 503/,
}, async ({ page, engine }) => {
  await page.getByText("Le modèle se charge\u00a0: 42\u202f%.").waitFor();
  await say(page, "Bonjour !");
  assert.match(await notice(page), /^Le modèle se charge encore \(42\u202f%\)/);
  engine.finishLoading();
  await page.getByText("par fake").waitFor();
  await page.click("#answer");
  await settled(page);
  assert.equal((await lines(page)).length, 2);
  assert.equal(await page.textContent("#alert"), "");
});

pageTest("a failure in the middle keeps what was said", {
  engine: { failAfter: 6, error: new EngineError("failed", "The fake engine was told to fail.") },
}, async ({ page }) => {
  await say(page, "Bonjour !");
  assert.match(await notice(page), /^Le calcul a échoué/);
  assert.match((await lines(page))[1]!, /^Dominique: Oui/);
});

pageTest("a server that goes away is told, and the page goes on when it is back", {
  engine: { script: ids("la "), delay: 20 },
  expected: /Failed to load resource|ERR_/,
}, async ({ page, engine }) => {
  await page.fill("#draft", "Chantez !");
  await page.click("#answer");
  await speaking(page);
  await page.context().setOffline(true);
  await page.click("#answer");
  await settled(page);
  await until(() => engine.cancellations === 1);
  await say(page, "Encore !");
  assert.match(await notice(page), /^La liaison avec le serveur est coupée/);
  assert.equal(await page.inputValue("#draft"), "Encore !");
  await page.context().setOffline(false);
  engine.script = ids(" Non.\n-");
  await page.click("#answer");
  await settled(page);
  assert.equal((await lines(page)).at(-1), "Dominique: Non.");
});
