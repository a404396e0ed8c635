/**
 * Takes the pictures in this folder: `deno run -A tests/page/pictures.ts`. They show what the page
 * is meant to look like; the tests check what can be said in words. Fonts are the system's own.
 *
 * Knows scenes and sizes. The lines in them are written here, not by a model.
 */
import type { Page } from "playwright-core";
import { ids, testApp } from "../routes/helpers.ts";
import { closeBrowser, type SceneOptions, serving, withPage } from "./browser.ts";
import { settled } from "./steps.ts";

const LINES = [
  "Un pot-au-feu, comme le faisait ma grand-mère : du bœuf, des carottes, et de la patience.",
  "De la patience ? Alors j'ai le temps de reprendre un verre avant de mettre la table !",
  "Prends-en deux. La viande n'a pas encore commencé à céder sous la fourchette.",
  "Tu dis toujours cela, et puis nous mangeons à minuit passé.",
  "C'est que les choses simples sont les plus longues. Goûte le bouillon, tu verras.",
];
const SCRIPT = ids(LINES.map((line) => ` ${line}\n-`).join(""));

async function talk(page: Page): Promise<void> {
  await page.getByText("En cuisine").click();
  await page.fill("#count", "5");
  await page.click("#go-on");
  await page.locator("#script > li").nth(5).waitFor();
  await settled(page);
  await page.mouse.move(0, 0);
  await page.locator("#draft").focus();
}

async function beginTalk(page: Page): Promise<void> {
  await page.getByText("En cuisine").click();
  await page.click("#answer");
  await page.getByText("du bœuf, des").waitFor();
}

const scenes: [name: string, options: SceneOptions, steps: (page: Page) => Promise<void>][] = [
  ["desktop", { width: 1440, height: 900 }, talk],
  ["dark", { width: 1440, height: 900, theme: "dark" }, talk],
  ["phone", { width: 390, height: 844 }, talk],
  ["streaming", { width: 1440, height: 900, engine: { delay: 30 } }, beginTalk],
];

const info = { model: "des répliques écrites d’avance", software: false };
for (const [name, options, steps] of scenes) {
  const { app } = testApp({ script: SCRIPT, info, ...options.engine });
  await serving(app, (url) =>
    withPage(url, options, async (page) => {
      await page.getByText("écrites d’avance").waitFor();
      await steps(page);
      await page.screenshot({ path: new URL(`${name}.png`, import.meta.url).pathname });
    }));
}
await closeBrowser();
