/**
 * The OpenAPI document as a page for people: a list of routes, each with its fields, an example to
 * paste into a shell, and its answer; then the named schemas.
 *
 * Knows HTML and the parts of OpenAPI that `document.ts` uses. Knows no route.
 */
import { html } from "hono/html";
import type { Json, OpenApiDocument } from "./document.ts";

type Html = ReturnType<typeof html>;

interface Media {
  schema: Json;
  example?: object;
}

interface Operation extends Json {
  operationId: string;
  tags: string[];
  summary: string;
  requestBody?: { required: boolean; content: Record<string, Media> };
  responses: Record<string, { description: string; content: Record<string, Media> }>;
  security: Json[];
}

interface Route {
  method: string;
  path: string;
  operation: Operation;
}

export function docsPage(document: OpenApiDocument): Html {
  const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): Route => ({
      method: method.toUpperCase(),
      path,
      operation: operation as Operation,
    }))
  );
  const { title, version, description } = document.info as Record<string, string>;
  const tags = document.tags.map(({ name }) => name);
  const schemas = Object.entries(document.components.schemas);
  return html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>${title}: the API</title>
        <link rel="stylesheet" href="docs/style.css">
      </head>
      <body>
        <header>
          <h1>${title} <small>${version}</small></h1>
          <p>${description}</p>
          <p>
            The same for programs: <a href="openapi.json">openapi.json</a>. If the server has keys,
            send one as <code>Authorization: Bearer KEY</code>.
          </p>
        </header>
        <nav aria-label="Routes">${tags.map((tag) => tagLinks(tag, routes))}</nav>
        <main>
          ${tags.map((tag) => tagSection(tag, routes))}
          <section>
            <h2>Schemas</h2>
            ${schemas.map(([name, schema]) => namedSchema(name, schema))}
          </section>
        </main>
      </body>
    </html>
  `;
}

function ofTag(tag: string, routes: Route[]): Route[] {
  return routes.filter(({ operation }) => operation.tags.includes(tag));
}

function tagLinks(tag: string, routes: Route[]): Html {
  const links = ofTag(tag, routes).map(({ method, path, operation: { operationId } }) =>
    html`<li><a href="#${operationId}">${method} ${path}</a></li>`
  );
  return html`
    <h2>${tag}</h2>
    <ul>${links}</ul>
  `;
}

function tagSection(tag: string, routes: Route[]): Html {
  return html`<section><h2>${tag}</h2>${ofTag(tag, routes).map(article)}</section>`;
}

function article({ method, path, operation }: Route): Html {
  const { operationId, summary, requestBody, responses, security } = operation;
  return html`
    <article id="${operationId}">
      <h3><code><b>${method}</b> ${path}</code></h3>
      <p>${withCode(summary)}.${security.length === 0 ? " Needs no key." : ""}</p>
      ${requestBody && bodyOf(path, requestBody)}
      <h4>Answers</h4>
      <table>
        <tbody>${Object.entries(responses).map(([status, response]) =>
          answerOf(status, response)
        )}</tbody>
      </table>
    </article>
  `;
}

function bodyOf(path: string, { required, content }: NonNullable<Operation["requestBody"]>): Html {
  const { schema, example } = content["application/json"]!;
  return html`
    <h4>Body${required ? "" : ", if any"}</h4>
    ${schemaOf(schema)}
    ${example && html`<pre><code>${command(path, example)}</code></pre>`}
  `;
}

function answerOf(status: string, { description, content }: Operation["responses"][string]): Html {
  const rows = Object.entries(content).map(([type, { schema }]) =>
    html`
      <tr>
        <th scope="row">${status === "default" ? "else" : status}</th>
        <td><code>${type}</code></td>
        <td>${typeOf(schema)}</td>
        <td>${description}</td>
      </tr>
    `
  );
  return html`${rows}`;
}

/** What stands between backticks, as code. */
function withCode(text: string): Html {
  return html`${text.split("`").map((part, i) => i % 2 === 1 ? html`<code>${part}</code>` : part)}`;
}

/** For a shell, whose single quotes take everything but a single quote. */
function command(path: string, example: object): string {
  const json = JSON.stringify(example).replaceAll("'", `'\\''`);
  return `curl -N http://127.0.0.1:8080${path} -H 'Content-Type: application/json' -d '${json}'`;
}

function namedSchema(name: string, schema: Json): Html {
  return html`<article id="schema-${name}"><h3><code>${name}</code></h3>${
    schemaOf(schema)
  }</article>`;
}

/** A table of an object's fields, or the type of anything else. */
function schemaOf(schema: Json): Html {
  const fields = Object.entries((schema.properties ?? {}) as Record<string, Json>);
  if (fields.length === 0) return html`<p>${typeOf(schema)}</p>`;
  const required = schema.required as string[] | undefined ?? [];
  const rows = fields.map(([name, field]) => {
    const mark = required.includes(name) ? " *" : "";
    return html`
      <tr>
        <th scope="row"><code>${name}</code>${mark}</th>
        <td>${typeOf(field)}</td>
        <td>${field.description}</td>
      </tr>
    `;
  });
  return html`
    <table>
      <thead>
        <tr>
          <th scope="col">Field</th>
          <th scope="col">Type</th>
          <th scope="col">Meaning</th>
        </tr>
      </thead>
      <tbody>${rows}</tbody>
    </table>
  `;
}

function typeOf(schema: Json): Html {
  const { $ref, anyOf, type, items, minimum, maximum, enum: values } = schema;
  if (typeof $ref === "string") {
    const name = $ref.split("/").at(-1)!;
    return html`<a href="#schema-${name}">${name}</a>`;
  }
  if (Array.isArray(anyOf)) return joined((anyOf as Json[]).map(typeOf), " or ");
  if (Array.isArray(values)) return html`${values.map((v) => JSON.stringify(v)).join(", ")}`;
  if ("const" in schema) return html`${JSON.stringify(schema.const)}`;
  if (type === "array") return html`list of ${typeOf(items as Json ?? {})}`;
  if (type === "object" && schema.properties) {
    const fields = Object.entries(schema.properties as Record<string, Json>)
      .map(([name, field]) => html`<code>${name}</code>: ${typeOf(field)}`);
    return html`{ ${joined(fields, ", ")} }`;
  }
  const range = minimum === undefined ? "" : ` from ${minimum} to ${maximum}`;
  return html`${[type ?? "anything"].flat().join(" or ")}${range}`;
}

function joined(parts: Html[], separator: string): Html {
  return html`${parts.map((part, i) => html`${i > 0 ? separator : ""}${part}`)}`;
}
