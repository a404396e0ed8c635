/** The page over the built-in model and the real engine, as somebody finds it after `serve`. */
import assert from "node:assert/strict";
import { createApp } from "../../routes/app.ts";
import { startBackend } from "../../routes/backend.ts";
import { readSettings } from "../../routes/settings.ts";
import { until } from "../routes/helpers.ts";
import { browserTest, serving, withPage } from "./browser.ts";
import { choose, lines, settled, speaking } from "./steps.ts";

browserTest("the built-in model answers, goes on by itself and stops", async () => {
  const { engine, text } = startBackend(readSettings([], {}), () => {});
  try {
    const app = createApp({ engine, text });
    await serving(app, (url) =>
      withPage(url, { expected: /status of 503/ }, async (page) => {
        await page.getByText("par claire-tiny").waitFor();
        await choose(page, "named");
        await page.click("#sampling summary");
        await page.locator("#max_tokens").fill("60");
        await page.fill("#draft", "Bonjour, qu'allez-vous nous cuisiner ?");
        await page.click("#answer");
        await speaking(page);
        await settled(page);
        const [, answer] = await lines(page);
        assert.match(answer!, /^Dominique: \S/);
        assert.match(
          await page.textContent("#figures") ?? "",
          /^\d+ jetons · [\d,]+ jetons\/s.* premiers mots après [\d,]+ s$/,
        );

        await page.locator("#max_tokens").fill("1000");
        await page.fill("#count", "20");
        await page.click("#go-on");
        await page.locator("#script > li").nth(2).waitFor();
        await page.keyboard.press("Escape");
        await settled(page);
        await until(() => engine.stats().running === 0);
        assert.equal(await page.textContent("#alert"), "");
      }));
  } finally {
    await engine.close();
  }
});
