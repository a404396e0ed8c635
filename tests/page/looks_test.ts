/** How the page shows itself: languages, themes, sizes, and to those who do not see it or use no mouse. */
import assert from "node:assert/strict";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { ids } from "../routes/helpers.ts";
import { pageTest } from "./browser.ts";
import { choose, focused, lines, say, settled, speaking } from "./steps.ts";

/** What axe-core finds wrong with the page as it is now, a line each. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const found = await page.evaluate(`axe.run(document, { runOnly: [
    "wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice",
  ] })`) as { violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] };
  return found.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`)
  );
}

async function openAll(page: Page): Promise<void> {
  for (const summary of await page.locator("summary").all()) await summary.click();
  await page.locator("#prompt-text:not(:empty)").waitFor();
}

for (const theme of ["light", "dark"] as const) {
  for (const width of [1440, 390]) {
    pageTest(
      `nothing for axe to find: ${theme}, ${width} px`,
      { theme, width },
      async ({ page, engine }) => {
        assert.deepEqual(await violations(page), []);
        await say(page, "Bonjour !");
        await openAll(page);
        await page.locator("#script > li").first().hover();
        assert.deepEqual(await violations(page), []);
        await page.getByLabel("Modifier la réplique de Camille").click();
        assert.deepEqual(await violations(page), []);
        await page.keyboard.press("Escape");
        engine.delay = 50;
        await page.click("#answer");
        await speaking(page);
        assert.deepEqual(await violations(page), []);
        await page.keyboard.press("Escape");
        await settled(page);
      },
    );
  }
}

const LONG = ids(
  ` ${"anticonstitutionnellement".repeat(6)} et https://exemple.invalid/${"x".repeat(90)}\n-`,
);

for (const width of [390, 320]) {
  pageTest(`nothing is wider than a window of ${width} px`, {
    width,
    height: 844,
    engine: { script: LONG },
  }, async ({ page }) => {
    const overflow = () => page.evaluate("document.documentElement.scrollWidth - innerWidth");
    assert.equal(await overflow(), 0);
    for (const format of ["intervenant", "named", "monologue", "dash"]) {
      await choose(page, format);
      await page.fill("#draft", "L".repeat(200));
      assert.equal(await overflow(), 0, format);
      await page.fill("#draft", "");
    }
    await say(page, "Bonjour !");
    await openAll(page);
    assert.equal(await overflow(), 0);
    await page.getByLabel("Modifier la réplique de Camille").click();
    assert.equal(await overflow(), 0);
    await page.getByLabel("EN, English").click();
    assert.equal(await overflow(), 0);
  });
}

pageTest("the newest line stays in sight, above the place to write", {
  width: 390,
  height: 844,
}, async ({ page }) => {
  await page.fill("#draft", "Bonjour !");
  await page.fill("#count", "12");
  await page.click("#go-on");
  await page.locator("#script > li").nth(12).waitFor();
  await settled(page);
  const [line, bar] = await Promise.all([
    page.locator("#script > li").last().boundingBox(),
    page.locator("#composer").boundingBox(),
  ]);
  assert.ok(line!.y > 0 && line!.y + line!.height <= bar!.y, `${line!.y} ${bar!.y}`);
});

pageTest("the page speaks French, or English, and remembers which", {}, async ({ page }) => {
  assert.equal(await page.getAttribute("html", "lang"), "fr");
  assert.equal(await page.textContent("#answer"), "Faire parler Camille");
  await page.getByLabel("EN, English").click();
  assert.equal(await focused(page), "EN, English");
  const english = async () => {
    assert.equal(await page.getAttribute("html", "lang"), "en");
    assert.equal(await page.textContent("#answer"), "Let Camille speak");
    assert.equal(await page.getByLabel("EN, English").getAttribute("aria-pressed"), "true");
    const body = await page.locator("body").innerText();
    assert.doesNotMatch(body, /réplique|Réglages|Personnages|Tirets|Arrêter|Le prompt exact/);
    const labels = await page.locator("[aria-label]").evaluateAll((all) =>
      all.map((element) => element.getAttribute("aria-label")).join(" ")
    );
    assert.doesNotMatch(labels, /réplique|Réglages|personnage/);
  };
  await english();
  await page.reload();
  await english();
  await page.getByLabel("FR, français").click();
  assert.equal(await page.textContent("#answer"), "Faire parler Camille");
});

/** The colour behind everything, as numbers from 0 to 255. */
async function background(page: Page): Promise<number[]> {
  const color = await page.evaluate("getComputedStyle(document.body).backgroundColor") as string;
  return color.match(/\d+/g)!.map(Number);
}

for (const theme of ["light", "dark"] as const) {
  pageTest(
    `the theme follows a ${theme} system until it is switched`,
    { theme },
    async ({ page }) => {
      const dark = async () => (await background(page)).every((part) => part < 64);
      assert.equal(await dark(), theme === "dark");
      await page.click("#theme");
      assert.equal(await dark(), theme === "light");
      await page.reload();
      assert.equal(await dark(), theme === "light", "remembered");
      await page.click("#theme");
      assert.equal(await dark(), theme === "dark");
      await page.emulateMedia({ colorScheme: theme === "dark" ? "light" : "dark" });
      assert.equal(await dark(), theme === "light", "follows again");
    },
  );
}

pageTest("motion is left out for those who ask for that", {
  reducedMotion: "reduce",
  engine: { delay: 50 },
}, async ({ page }) => {
  await page.fill("#draft", "Bonjour !");
  await page.click("#answer");
  await speaking(page);
  const animation =
    `getComputedStyle(document.querySelector(".writing .text"), "::after").animationName`;
  assert.equal(await page.evaluate(animation), "none");
});

pageTest("everything works by keyboard", {}, async ({ page, engine }) => {
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await focused(page), "draft", "the skip link");
  await page.keyboard.type("Bonjour !");
  await page.keyboard.press("Enter");
  await settled(page);
  assert.equal(await focused(page), "draft", "the focus stays where one writes");
  assert.equal((await lines(page)).length, 2);

  // Back to the last line, and into it.
  await tabTo(page, "Modifier la réplique de Dominique", "Shift+Tab");
  await page.keyboard.press("Enter");
  await page.keyboard.type(" Voilà.");
  await page.keyboard.press("Enter");
  assert.equal((await lines(page))[1], "Dominique: Oui, bien sûr. Voilà.");
  assert.equal(await focused(page), "Modifier la réplique de Dominique");

  await tabTo(page, "draft", "Tab");
  await page.keyboard.type("Merci.");
  engine.delay = 30;
  await tabTo(page, "answer", "Tab");
  await page.keyboard.press("Enter");
  await speaking(page);
  assert.equal(await focused(page), "answer");
  await page.keyboard.press("Escape");
  await settled(page);
  assert.equal(await focused(page), "answer");
  engine.delay = 0;

  await tabTo(page, "again", "Shift+Tab");
  await page.keyboard.press("Enter");
  await settled(page);
  assert.equal(await focused(page), "answer");

  await tabTo(page, "go-on", "Tab");
  await page.keyboard.press("Space");
  await settled(page);
  await tabToFormat(page);
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.locator("[value=intervenant]").isChecked(), true);
  await tabTo(page, "SUMMARY", "Tab");
  await page.keyboard.press("Enter");
  await tabTo(page, "temperature", "Tab");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.inputValue("#temperature"), "1.05");
});

/** Presses a key until the element with that id or label has the focus, which must be visible. */
async function tabTo(page: Page, target: string, key: string): Promise<void> {
  for (let pressed = 0; await focused(page) !== target; pressed++) {
    assert.ok(pressed < 60, `${key} does not lead to ${target}`);
    await page.keyboard.press(key);
  }
  const outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle");
  assert.notEqual(outline, "none", target);
}

async function tabToFormat(page: Page): Promise<void> {
  const onFormat = () => page.evaluate(`document.activeElement.name === "format"`);
  for (let pressed = 0; !await onFormat(); pressed++) {
    assert.ok(pressed < 60, "Tab does not lead to the formats");
    await page.keyboard.press("Tab");
  }
}
