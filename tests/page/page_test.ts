/** The page in a browser, against the routes over a fake engine: what a reader can do with it. */
import assert from "node:assert/strict";
import { ids, until } from "../routes/helpers.ts";
import { pageTest } from "./browser.ts";
import { choose, focused, lines, notice, prompts, say, settled, speaking } from "./steps.ts";

pageTest("a line typed is answered by the other character", {}, async ({ page, engine }) => {
  await page.fill("#draft", "Avez-vous du pain ?");
  assert.equal(await page.textContent("#answer"), "Faire répondre Dominique");
  await page.locator("#draft").press("Enter");
  await settled(page);
  assert.deepEqual(await lines(page), [
    "Camille: Avez-vous du pain ?",
    "Dominique: Oui, bien sûr.",
  ]);
  assert.equal(await page.inputValue("#draft"), "");
  // The thousands of French are set apart by a narrow space, which a fast machine reaches.
  assert.match(await page.textContent("#figures") ?? "", /^\d+ jetons · [\d\s,–]+ jetons\/s/);
  // For those who listen, once the line is whole.
  assert.equal(await page.textContent("#announcer"), "Dominique\u00a0: Oui, bien sûr.");
  assert.deepEqual(prompts(engine), ["- Avez-vous du pain ?\n-"]);
});

pageTest("an answer is shown while it is written", { engine: { delay: 40 } }, async ({ page }) => {
  await page.fill("#draft", "Bonjour !");
  await page.click("#answer");
  await speaking(page);
  assert.equal(await page.textContent("#answer"), "Arrêter");
  const partial = await page.textContent(".writing .text") ?? "";
  assert.ok("Oui, bien sûr.".startsWith(partial), partial);
  await settled(page);
  assert.deepEqual(await lines(page), ["Camille: Bonjour !", "Dominique: Oui, bien sûr."]);
  assert.equal(await page.locator(".writing").count(), 0);
});

const ENDLESS = { script: ids("la "), delay: 15 };

for (const way of ["button", "Escape"]) {
  pageTest(`stop by ${way} keeps what was said`, { engine: ENDLESS }, async ({ page, engine }) => {
    await page.fill("#draft", "Chantez !");
    await page.click("#answer");
    await speaking(page);
    if (way === "button") await page.click("#answer");
    else await page.keyboard.press("Escape");
    await settled(page);
    await until(() => engine.cancellations === 1);
    const [, sung] = await lines(page);
    assert.match(sung!, /^Dominique: l/);
    assert.match(await page.textContent("#figures") ?? "", /^Arrêté après [\d,]+ s\.$/);
    assert.equal(await focused(page), "answer");
    await page.waitForTimeout(100);
    assert.equal((await lines(page))[1], sung, "nothing comes after it");
  });
}

pageTest("another answer takes the place of the last one", {}, async ({ page, engine }) => {
  await say(page, "Bonjour !");
  engine.script = ids(" Non.\n-");
  await page.fill("#draft", "à moitié écrit");
  await page.click("#again");
  await settled(page);
  assert.deepEqual(await lines(page), ["Camille: Bonjour !", "Dominique: Non."]);
  assert.deepEqual(prompts(engine), ["- Bonjour !\n-", "- Bonjour !\n-"]);
  assert.equal(await page.inputValue("#draft"), "à moitié écrit");
});

pageTest("any line is edited in place", {}, async ({ page, engine }) => {
  await say(page, "Bonjour !");
  const first = page.locator("#script > li").first();
  await first.hover();
  await first.getByLabel("Modifier la réplique de Camille").click();
  const field = page.getByLabel("Texte de la réplique");
  assert.equal(await field.inputValue(), "Bonjour !");
  await field.fill("Bonsoir.");
  await field.press("Enter");
  assert.deepEqual(await lines(page), ["Camille: Bonsoir.", "Dominique: Oui, bien sûr."]);
  assert.equal(await focused(page), "Modifier la réplique de Camille");

  // Another answer is one to the line as it is now.
  await page.click("#again");
  await settled(page);
  assert.equal(prompts(engine).at(-1), "- Bonsoir.\n-");

  await first.hover();
  await first.getByLabel("Modifier la réplique de Camille").click();
  await field.fill("autre chose");
  await field.press("Escape");
  assert.equal((await lines(page))[0], "Camille: Bonsoir.");

  await page.keyboard.press("Enter");
  await page.getByLabel("Qui la dit").selectOption("Dominique");
  await page.getByText("Garder").click();
  assert.equal((await lines(page))[0], "Dominique: Bonsoir.");
  await say(page, "Et le pain ?");
  // Dashes cannot show two lines in a row by the same character: the server joins them.
  assert.equal(prompts(engine).at(-1), "- Bonsoir. Oui, bien sûr.\n- Et le pain ?\n-");
});

pageTest("a line is deleted, and brought back", {}, async ({ page }) => {
  await say(page, "Bonjour !");
  const all = await lines(page);
  await page.locator("#script > li").first().hover();
  await page.getByLabel("Supprimer la réplique de Camille").click();
  assert.deepEqual(await lines(page), all.slice(1));
  assert.equal(await notice(page), "Réplique supprimée.");
  await page.click("#undo");
  assert.deepEqual(await lines(page), all);
});

pageTest("playing again from a line drops what came after", {}, async ({ page, engine }) => {
  await say(page, "Bonjour !");
  await say(page, "Merci.");
  engine.script = ids(" Jamais.\n-");
  const answer = page.locator("#script > li").nth(1);
  await answer.hover();
  await answer.getByLabel("Rejouer à partir de la réplique de Dominique").click();
  await settled(page);
  assert.deepEqual(await lines(page), ["Camille: Bonjour !", "Dominique: Jamais."]);
});

pageTest("two characters go on by themselves", {}, async ({ page }) => {
  await page.fill("#draft", "Bonjour !");
  await page.fill("#count", "3");
  await page.click("#go-on");
  await page.locator("#script > li").nth(3).waitFor();
  await settled(page);
  assert.deepEqual(await lines(page), [
    "Camille: Bonjour !",
    "Dominique: Oui, bien sûr.",
    "Camille: Et avec ça ?",
    "Dominique: Oui, bien sûr.",
  ]);
  assert.equal(await page.locator("#script > .model").count(), 3);
});

pageTest("each format gives the model its own prompt", {}, async ({ page, engine }) => {
  await page.fill("#draft", "Bonjour !");
  await page.click("#add");
  const expected = {
    dash: "- Bonjour !\n-",
    intervenant: "[Intervenant 1:] Bonjour !\n[Intervenant 2:]",
    named: "[Camille:] Bonjour !\n[Dominique:]",
    monologue: "Bonjour !",
  };
  for (const [format, prompt] of Object.entries(expected)) {
    await choose(page, format);
    const before = engine.requests.length;
    await page.click("#answer");
    await until(() => engine.requests.length > before);
    await settled(page);
    assert.equal(prompts(engine).at(-1), prompt);
    while (await page.locator("#script > li").count() > 1) {
      await page.locator("#script > li").last().hover();
      await page.getByLabel(/^Supprimer/).last().click();
    }
  }
});

pageTest("characters are named, added and removed", {}, async ({ page, engine }) => {
  await choose(page, "named");
  const names = page.locator("#names input");
  await names.first().fill("Mme [Durand:]");
  await names.first().press("Tab");
  assert.equal(await names.first().inputValue(), "Mme Durand");
  await names.nth(1).fill("Mme Durand");
  await names.nth(1).press("Tab");
  assert.equal(await names.nth(1).inputValue(), "Dominique");
  assert.match(await page.textContent("#cast-hint") ?? "", /même nom/);
  await page.click("#add-speaker");
  await page.keyboard.type("Léo");
  await page.keyboard.press("Tab");
  assert.equal(
    await page.textContent("#cast-line"),
    "Personnages\u00a0: Mme Durand, Dominique et Léo",
  );
  await page.selectOption("#writer", "Léo");
  await page.selectOption("#next", "Mme Durand");
  await say(page, "Bonjour !");
  assert.equal(prompts(engine)[0], "[Léo:] Bonjour !\n[Mme Durand:]");
  assert.equal(await page.getByLabel("Retirer Léo").isVisible(), false, "Léo has a line");
});

pageTest("what was written survives a reload, in this tab", {}, async ({ page }) => {
  await choose(page, "named");
  await say(page, "Bonjour !");
  const before = await lines(page);
  await page.reload();
  assert.deepEqual(await lines(page), before);
  assert.equal(await page.locator("[value=named]").isChecked(), true);
  assert.equal(await page.evaluate("localStorage.length"), 0);
  await page.click("#clear");
  assert.deepEqual(await lines(page), []);
  assert.equal(await page.locator("#opening").isVisible(), true);
  await page.click("#undo");
  assert.deepEqual(await lines(page), before);
});

pageTest("an example is one click from an answer", {}, async ({ page }) => {
  await page.getByText("En cuisine").click();
  assert.equal(await focused(page), "draft");
  await page.keyboard.press("Enter");
  await settled(page);
  assert.equal((await lines(page)).length, 2);
});

pageTest(
  "sampling settings are sent, and go back to where they started",
  {},
  async ({ page, engine }) => {
    await page.click("#sampling summary");
    await page.locator("#temperature").fill("0.5");
    await page.locator("#max_tokens").fill("40");
    await page.fill("#seed", "77");
    await say(page, "Bonjour !");
    const { sampling } = engine.requests[0]!.request;
    assert.equal(sampling.temperature, 0.5);
    assert.equal(sampling.seed, 77);
    assert.match(await page.textContent("#seed-hint") ?? "", /\(la dernière\u00a0: 77\)$/);
    await page.click("#reset");
    assert.equal(await page.inputValue("#temperature"), "1");
    assert.equal(await page.inputValue("#seed"), "");
  },
);

pageTest("markup in a line stays text", {
  engine: { script: ids(" <img src=x onerror=alert(1)>\n-") },
}, async ({ page }) => {
  await say(page, "<b>gras</b>");
  assert.deepEqual(await lines(page), [
    "Camille: <b>gras</b>",
    "Dominique: <img src=x onerror=alert(1)>",
  ]);
});

pageTest("a monologue goes on where it stands", {
  engine: { script: ids(" Et puis plus rien.\nAutre ligne.") },
}, async ({ page, engine }) => {
  await choose(page, "monologue");
  await say(page, "Je suis parti.");
  assert.deepEqual(await lines(page), ["Camille: Je suis parti. Et puis plus rien."]);
  await page.click("#again");
  await settled(page);
  assert.deepEqual(await lines(page), ["Camille: Je suis parti. Et puis plus rien."]);
  assert.deepEqual(prompts(engine), ["Je suis parti.", "Je suis parti."]);
  await page.click("#answer");
  await settled(page);
  assert.equal(prompts(engine).at(-1), "Je suis parti. Et puis plus rien.");
});

pageTest("somebody whom the model brings in joins the cast", {
  engine: { script: ids(" Voici Zoé.\n[Zoé:] Bonjour à tous.\n[Camille:]") },
}, async ({ page }) => {
  await choose(page, "named");
  await page.fill("#draft", "Qui est là ?");
  await page.fill("#count", "2");
  await page.click("#go-on");
  await page.locator("#script > li").nth(2).waitFor();
  await settled(page);
  assert.deepEqual((await lines(page)).slice(1), [
    "Dominique: Voici Zoé.",
    "Zoé: Bonjour à tous.",
  ]);
  assert.equal(await page.locator("#names input").last().inputValue(), "Zoé");
});
