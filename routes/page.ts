/**
 * The page to try the model with: `GET /` for a browser, its files under `/page/`.
 *
 * Knows the files and their types. They are part of the module graph, so serving them needs no
 * permission to read. What a browser may do with them is in `browsers.ts`. Knows nothing of what the
 * page says to the API.
 */
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { accepts } from "hono/accepts";
import { etag } from "hono/etag";
import apiJs from "./page/api.js" with { type: "text" };
import castViewJs from "./page/cast_view.js" with { type: "text" };
import composerCss from "./page/composer.css" with { type: "text" };
import composerJs from "./page/composer.js" with { type: "text" };
import controlsCss from "./page/controls.css" with { type: "text" };
import dialogueJs from "./page/dialogue.js" with { type: "text" };
import domJs from "./page/dom.js" with { type: "text" };
import examplesJs from "./page/examples.js" with { type: "text" };
import formatsJs from "./page/formats.js" with { type: "text" };
import i18nJs from "./page/i18n.js" with { type: "text" };
import iconSvg from "./page/icon.svg" with { type: "text" };
import indexHtml from "./page/index.html" with { type: "text" };
import layoutCss from "./page/layout.css" with { type: "text" };
import mainJs from "./page/main.js" with { type: "text" };
import panelCss from "./page/panel.css" with { type: "text" };
import promptViewJs from "./page/prompt_view.js" with { type: "text" };
import requestJs from "./page/request.js" with { type: "text" };
import runnerJs from "./page/runner.js" with { type: "text" };
import samplingJs from "./page/sampling.js" with { type: "text" };
import samplingViewJs from "./page/sampling_view.js" with { type: "text" };
import scriptCss from "./page/script.css" with { type: "text" };
import scriptViewJs from "./page/script_view.js" with { type: "text" };
import serverViewJs from "./page/server_view.js" with { type: "text" };
import snippetsJs from "./page/snippets.js" with { type: "text" };
import sseJs from "./page/sse.js" with { type: "text" };
import stateJs from "./page/state.js" with { type: "text" };
import storageJs from "./page/storage.js" with { type: "text" };
import themeCss from "./page/theme.css" with { type: "text" };
import themeJs from "./page/theme.js" with { type: "text" };
import turnViewJs from "./page/turn_view.js" with { type: "text" };
import wordsEnJs from "./page/words_en.js" with { type: "text" };
import wordsFrJs from "./page/words_fr.js" with { type: "text" };
import { ApiError } from "./errors.ts";
import type { RouteEnv } from "./request_log.ts";

const FILES: Readonly<Record<string, string>> = {
  "api.js": apiJs,
  "cast_view.js": castViewJs,
  "composer.css": composerCss,
  "composer.js": composerJs,
  "controls.css": controlsCss,
  "dialogue.js": dialogueJs,
  "dom.js": domJs,
  "examples.js": examplesJs,
  "formats.js": formatsJs,
  "i18n.js": i18nJs,
  "icon.svg": iconSvg,
  "layout.css": layoutCss,
  "main.js": mainJs,
  "panel.css": panelCss,
  "prompt_view.js": promptViewJs,
  "request.js": requestJs,
  "runner.js": runnerJs,
  "sampling.js": samplingJs,
  "sampling_view.js": samplingViewJs,
  "script.css": scriptCss,
  "script_view.js": scriptViewJs,
  "server_view.js": serverViewJs,
  "snippets.js": snippetsJs,
  "sse.js": sseJs,
  "state.js": stateJs,
  "storage.js": storageJs,
  "theme.css": themeCss,
  "theme.js": themeJs,
  "turn_view.js": turnViewJs,
  "words_en.js": wordsEnJs,
  "words_fr.js": wordsFrJs,
};

const TYPES: Readonly<Record<string, string>> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml; charset=utf-8",
  html: "text/html; charset=utf-8",
};

const HTML = "text/html";

export function pageRoutes(): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>();
  const asHtml: MiddlewareHandler = async (c, next) => {
    // Whoever does not ask for a page, such as TGI's clients, gets what `GET /` else answers.
    c.header("vary", "Accept");
    const supports = ["application/json", HTML];
    const type = accepts(c, { header: "Accept", supports, default: "application/json" });
    if (type !== HTML) return await next();
    return file(c, "index.html", indexHtml);
  };
  app.get("/", etag(), asHtml);
  app.get("/page/:file", etag(), (c) => {
    const name = c.req.param("file");
    if (!Object.hasOwn(FILES, name)) throw new ApiError(404, "not_found", "There is no such route");
    return file(c, name, FILES[name]!);
  });
  return app;
}

/** To be asked for again each time, and sent again only when its ETag has changed. */
function file(c: Context, name: string, text: string): Response {
  return c.body(text, 200, {
    "content-type": TYPES[name.split(".").at(-1)!]!,
    "cache-control": "no-cache",
  });
}
