/** The dashboard and the alerts ask for nothing that a live `/metrics` does not have. */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { ids, jsonPost, testApp, withServer } from "../routes/helpers.ts";
import { type Exposition, readExposition } from "../routes/metrics/exposition.ts";
import { selectorsOf } from "./promql.ts";

const DEPLOY = new URL("../../deploy/", import.meta.url);
const dashboard = JSON.parse(await Deno.readTextFile(new URL("grafana/dashboard.json", DEPLOY)));
const alerts = parse(await Deno.readTextFile(new URL("prometheus/alerts.yml", DEPLOY)));

/** What Prometheus itself adds to each scrape. */
const OWN_METRICS = ["up"];
const OWN_LABELS = ["instance", "job"];

interface Panel {
  title: string;
  type: string;
  gridPos: { x: number; y: number; w: number; h: number };
  datasource: { uid: string };
  targets: { refId: string; expr: string }[];
}
const panels: Panel[] = dashboard.panels;
// deno-lint-ignore no-explicit-any
const rules: any[] = alerts.groups.flatMap(({ rules }: { rules: unknown[] }) => rules);

/** As Grafana sends it, with its variables filled in. */
function filled(expr: string): string {
  return expr.replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*");
}

/** A scrape of a server that has answered, refused and lost a client's request. */
async function liveMetrics(): Promise<Exposition> {
  const { app } = testApp({ script: ids("Bonjour"), queuedSeconds: 0 });
  let text = "";
  await withServer(app, async (url) => {
    await (await fetch(`${url}/generate`, jsonPost({ inputs: "Bonjour" }))).text();
    text = await (await fetch(`${url}/metrics`)).text();
  });
  return readExposition(text);
}

/** The first thing in the expression that the scrape does not have; undefined if it has all. */
function missing(expression: string, { samples }: Exposition): string | undefined {
  for (const { metric, matchers, grouped } of selectorsOf(expression)) {
    if (OWN_METRICS.includes(metric)) continue;
    const found = samples.filter(({ name }) => name === metric);
    if (found.length === 0) return metric;
    const labels = [...matchers.map(({ label }) => label), ...grouped];
    const unknown = labels.find((label) =>
      !OWN_LABELS.includes(label) && !found.every((sample) => label in sample.labels)
    );
    if (unknown) return `${metric}{${unknown}}`;
    const never = matchers.find(({ label, op, value }) =>
      op === "=" && !OWN_LABELS.includes(label) &&
      !found.some((sample) => sample.labels[label] === value)
    );
    if (never) return `${metric}{${never.label}="${never.value}"}`;
  }
}

Deno.test("deploy: all that the dashboard and the alerts ask for is there", async () => {
  const live = await liveMetrics();
  const asked = [
    ...panels.flatMap(({ targets }) => targets.map(({ expr }) => filled(expr))),
    ...rules.map(({ expr }) => expr),
  ];
  assert(asked.length >= 40);
  for (const expression of asked) assert.equal(missing(expression, live), undefined, expression);

  // The check does find what is not there.
  assert.equal(missing("rate(tgi_request_kount[5m])", live), "tgi_request_kount");
  assert.equal(missing("sum by (model) (tgi_queue_size)", live), "tgi_queue_size{model}");
  const never = 'clairon_engine_state{state="redy"}';
  assert.equal(missing(never, live), never);
  assert.throws(() => missing("rate(tgi_request_count[5m]", live), /no PromQL/);
});

Deno.test("deploy: the alerts are rules as Prometheus takes them", () => {
  assert(rules.length >= 8);
  assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
  for (const { alert, expr, labels, annotations, ...rest } of rules) {
    assert.match(alert, /^Clairon[A-Z]\w+$/);
    assert.equal(typeof expr, "string");
    assert(["critical", "warning"].includes(labels.severity), alert);
    assert.match(
      annotations.summary,
      /^\S.*\{\{ \$labels\.instance \}\}|^\{\{ \$labels\.instance \}\} /,
    );
    for (const [name, value] of Object.entries(rest)) {
      assert.equal(name, "for", alert);
      assert.match(String(value), /^\d+[smh]$/);
    }
  }
});

Deno.test("deploy: the dashboard is one that Grafana takes, no panel over another", () => {
  assert.equal(dashboard.uid, "clairon");
  const variables = dashboard.templating.list.map(({ name }: { name: string }) => name);
  assert.deepEqual(variables, ["datasource", "instance"]);
  const taken = new Set<string>();
  for (const { title, type, gridPos: { x, y, w, h }, datasource, targets } of panels) {
    assert(["stat", "timeseries"].includes(type), title);
    assert.equal(datasource.uid, "${datasource}");
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
    for (const { expr } of targets) assert.doesNotMatch(filled(expr), /\$/);
    assert(x + w <= 24, title);
    for (let i = x; i < x + w; i++) {
      for (let j = y; j < y + h; j++) {
        assert(!taken.has(`${i},${j}`), title);
        taken.add(`${i},${j}`);
      }
    }
  }
  assert.equal(new Set(panels.map(({ title }) => title)).size, panels.length);
});
