/** What a reader does on the page and sees there, as the tests of the page say it. */
import type { Page } from "playwright-core";
import type { FakeEngine } from "../model/fake_engine.ts";
import { tokenizer } from "../routes/helpers.ts";

/** The lines of the script: who, and what. */
export async function lines(page: Page): Promise<string[]> {
  return await page.locator("#script > li").evaluateAll((items) =>
    items.map((item) =>
      `${item.querySelector(".name")!.textContent}: ${item.querySelector(".text")!.textContent}`
    )
  );
}

/** Waits until no answer is coming in. */
export async function settled(page: Page): Promise<void> {
  await page.locator("#answer:not(.stop)").waitFor();
}

/** Types a line, has it answered, and waits for the answer. */
export async function say(page: Page, text: string): Promise<void> {
  await page.fill("#draft", text);
  await page.click("#answer");
  await settled(page);
}

/** Waits until the model's words come in. */
export async function speaking(page: Page): Promise<void> {
  await page.locator(".writing .text:not(:empty)").waitFor();
}

/** Chooses a format by its name in French. */
export async function choose(page: Page, format: string): Promise<void> {
  await page.locator(`input[name=format][value=${format}]`).check();
}

/** The sentence that says what went wrong, or what was done. */
export async function notice(page: Page): Promise<string> {
  await page.locator("#alert:not(:empty)").waitFor();
  return await page.textContent("#alert") ?? "";
}

/** What has the focus: its id, or its label. */
export async function focused(page: Page): Promise<string> {
  return await page.evaluate(`(() => {
    const { id, ariaLabel, tagName } = document.activeElement;
    return id || ariaLabel || tagName;
  })()`);
}

/** The prompts that the engine was given, as text. */
export function prompts(engine: FakeEngine): string[] {
  return engine.requests.map(({ request }) => tokenizer.decode(request.prompt));
}
