/**
 * `GET /openapi.json`, and `GET /docs`: the same document as a page, which loads nothing from
 * elsewhere and runs no script.
 *
 * Knows where they are. The document is made in `docs/document.ts`, the page in `docs/page.ts`.
 */
import { Hono } from "hono";
import { type OpenApiDocument, openApiDocument } from "./docs/document.ts";
import { docsPage } from "./docs/page.ts";
import style from "./docs/style.css" with { type: "text" };
import type { RouteEnv } from "./request_log.ts";

let made: OpenApiDocument | undefined;

/** Made when somebody asks: it costs some milliseconds that the start need not wait for. */
function document(): OpenApiDocument {
  return made ??= openApiDocument();
}

export function docsRoutes(): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>();
  app.get("/openapi.json", (c) => c.json(document()));
  app.get("/docs", (c) => c.html(docsPage(document())));
  app.get(
    "/docs/style.css",
    (c) => c.body(style, 200, { "content-type": "text/css; charset=utf-8" }),
  );
  return app;
}
