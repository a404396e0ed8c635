/**
 * The kustomizations: by the official schemas, as `kubectl` builds them, and against the server's own
 * routes, settings and times. No cluster has run them.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1";
import { PodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { Deployment, StatefulSet } from "kubernetes-models/apps/v1";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1";
import { PersistentVolumeClaim, Service } from "kubernetes-models/v1";
import { builtinModel } from "../../model/builtin.ts";
import { readSettings } from "../../routes/settings.ts";
import { FLUSH_SECONDS } from "../../routes/serve.ts";
import { fakeSidecar, SIDECAR_KEY } from "../routes/edge_rig.ts";
import { jsonPost, testApp } from "../routes/helpers.ts";
import { readExposition } from "../routes/metrics/exposition.ts";
import { ServerProcess } from "../routes/server_process.ts";
import {
  build,
  filesOf,
  kustomizationOf,
  OVERLAYS,
  podOf,
  readResources,
  type Resource,
} from "./manifests.ts";
import { findProgram } from "./programs.ts";
import { selectorsOf } from "./promql.ts";

const kubectl = findProgram("kubectl");

/** By `apiVersion kind`: what checks a resource against its schema. */
// deno-lint-ignore no-explicit-any
const MODELS: Record<string, new (data: any) => { validate(): void }> = {
  "apps/v1 Deployment": Deployment,
  "apps/v1 StatefulSet": StatefulSet,
  "v1 Service": Service,
  "v1 PersistentVolumeClaim": PersistentVolumeClaim,
  "policy/v1 PodDisruptionBudget": PodDisruptionBudget,
  "networking.k8s.io/v1 NetworkPolicy": NetworkPolicy,
  "monitoring.coreos.com/v1 PodMonitor": PodMonitor,
  "keda.sh/v1alpha1 ScaledObject": ScaledObject,
};

function validate(resource: Resource): void {
  const Model = MODELS[`${resource.apiVersion} ${resource.kind}`];
  assert.ok(Model, `no schema for ${resource.apiVersion} ${resource.kind}`);
  new Model(resource).validate();
}

/** Everything in the files, without what the patches change. */
async function written(): Promise<Resource[]> {
  const files = ["base", ...OVERLAYS].flatMap((folder) =>
    filesOf(folder).map((name) => `${folder}/${name}`)
  );
  return (await Promise.all(files.map(readResources))).flat();
}

Deno.test("kubernetes: each kustomization names every file beside it, and nothing that is not there", async () => {
  for (const folder of ["base", ...OVERLAYS]) {
    const { resources } = await kustomizationOf(folder);
    const files = resources.filter((name: string) => name !== "../base").sort();
    assert.deepEqual(files, filesOf(folder), folder);
    assert.equal(resources.includes("../base"), folder !== "base", folder);
  }
});

Deno.test("kubernetes: what is written passes the official schemas, which do find a fault", async () => {
  const resources = await written();
  assert.ok(resources.length >= 11);
  resources.forEach(validate);
  const server = structuredClone(resources.find(({ kind }) => kind === "Deployment"));
  server.spec.template.spec.containers[0].ports[0].containerPort = "8080";
  assert.throws(() => validate(server), /containerPort must be integer/);
});

Deno.test("kubernetes: the grace period is above preStop's sleep, the drain and the last bytes", async () => {
  for (const resource of await written()) {
    const pod = podOf(resource);
    if (!pod) continue;
    const [{ env, lifecycle }] = pod.spec.containers;
    const drain = Number(env.find(({ name }: { name: string }) => name === "DRAIN_SECONDS").value);
    assert.equal(drain, readSettings([], {})["drain-seconds"]);
    const needed = lifecycle.preStop.sleep.seconds + drain + FLUSH_SECONDS;
    assert.ok(pod.spec.terminationGracePeriodSeconds > needed, resource.metadata.name);
  }
});

Deno.test("kubernetes: variables are those that serve may read, with values that it takes", async () => {
  const { tasks } = JSON.parse(
    await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
  );
  const known = /--allow-env=(\S+)/.exec(tasks.serve.command)![1]!.split(",");
  for (const resource of await written()) {
    for (const { env, command } of podOf(resource)?.spec.containers ?? []) {
      const values: Record<string, string> = {};
      // An edge has permissions of its own.
      const own = command?.find((word: string) => word.startsWith("--allow-env="));
      const allowed = own?.slice("--allow-env=".length).split(",") ?? known;
      for (const { name, value, valueFrom } of env) {
        assert.ok(known.includes(name) && allowed.includes(name), name);
        if (valueFrom) assert.equal(valueFrom.secretKeyRef.key, name);
        values[name] = value ?? "secret";
      }
      const settings = readSettings([], values);
      assert.equal(settings.engine.length, values.ENGINE ? 2 : 0);
    }
  }
});

Deno.test("kubernetes: probes ask what a loading server answers as they expect", async () => {
  const status = async (state: "loading" | "ready", path: string) =>
    (await testApp({ state }).app.request(path)).status;
  const resources = await written();
  const probed = resources.flatMap((resource) => podOf(resource)?.spec.containers ?? []);
  assert.equal(probed.length, 2);
  for (const { startupProbe, readinessProbe, livenessProbe, ports } of probed) {
    for (const probe of [startupProbe, readinessProbe, livenessProbe].filter(Boolean)) {
      assert.equal(probe.httpGet.port, ports[0].name);
      assert.equal(await status("ready", probe.httpGet.path), 200);
    }
    assert.equal(await status("loading", readinessProbe.httpGet.path), 503);
    assert.equal(await status("loading", livenessProbe.httpGet.path), 200);
    if (!startupProbe) continue;
    // 4 GB at 10 Mbit/s are 53 minutes.
    const seconds = startupProbe.periodSeconds * startupProbe.failureThreshold;
    assert.ok(seconds >= 3200);
    const { progressDeadlineSeconds } = resources.find(({ kind, metadata }) =>
      kind === "Deployment" && metadata.name === "clairon"
    ).spec;
    assert.ok(progressDeadlineSeconds > seconds);
  }
});

Deno.test("kubernetes: KEDA's query asks for a metric that is there, with the job of the alerts", async () => {
  const [{ spec }] = await readResources("autoscaling/scaling.yaml");
  const [selector, ...others] = selectorsOf(spec.triggers[0].metadata.query);
  assert.deepEqual(others, []);
  const { app } = testApp();
  // vLLM's names are there once there is a model to name.
  await app.request("/v1/models");
  const { samples } = readExposition(await (await app.request("/metrics")).text());
  assert.ok(samples.some(({ name }) => name === selector!.metric), selector!.metric);
  const [{ spec: monitor }] = await readResources("base/monitor.yaml");
  const { labels: [{ pairs }] } = await kustomizationOf("base");
  assert.deepEqual(selector!.matchers.map(({ label, value }) => [label, value]), [
    ["job", pairs[monitor.jobLabel]],
  ]);
});

Deno.test("kubernetes: an edge starts, answers and shows its page by its own command alone", async () => {
  const [{ spec }] = await readResources("edge-and-sidecars/edge.yaml");
  const [program, verb, ...words]: string[] = spec.template.spec.containers[0].command;
  assert.deepEqual([program, verb], ["deno", "run"]);
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const here = words.map((word) =>
    word.replace("/model", builtinModel()).replace(/^main/, `${root}$&`)
  );
  await using sidecar = fakeSidecar(1);
  const env = { MODEL: builtinModel(), ENGINE: await sidecar.url(), SIDECAR_KEY };
  await using edge = new ServerProcess([...here, "--port", "0"], env, ["run"]);
  await edge.says(/is ready on/);
  const url = await edge.url();
  for (const path of ["/health", "/metrics", "/docs", "/v1/models"]) {
    const answer = await fetch(url + path);
    assert.equal(answer.status, 200, `${path}: ${await answer.text()}`);
  }
  const page = await fetch(url, { headers: { accept: "text/html" } });
  assert.match(await page.text(), /<html/);
  const request = { inputs: "- Bonjour !\n-", parameters: { max_new_tokens: 2 } };
  assert.equal((await fetch(`${url}/generate`, jsonPost(request))).status, 200);
  assert.doesNotMatch(edge.stderr, /requires .* access|not allowed/i);
});

for (const overlay of OVERLAYS) {
  Deno.test({
    name: `kubernetes: ${overlay}, as kubectl builds it, is valid and fits together` +
      (kubectl ? "" : " (no kubectl found)"),
    ignore: kubectl === undefined,
    fn: async () => fitsTogether(await build(kubectl!, overlay)),
  });
}

function fitsTogether(resources: Resource[]): void {
  resources.forEach(validate);
  const pods = resources.map(podOf).filter(Boolean);
  const matches = (labels: Record<string, string>) =>
    pods.filter((pod) =>
      Object.entries(labels).every(([key, value]) => pod.metadata.labels[key] === value)
    ).length;
  const named = (kind: string, name: string) =>
    resources.some((resource) => resource.kind === kind && resource.metadata.name === name);

  for (const resource of resources) {
    const { kind, spec, metadata: { name, namespace } } = resource;
    assert.equal(namespace, "clairon", `${kind} ${name}`);
    // Everything that selects pods finds some; a workload finds its own, and no other's.
    const selector = spec.podSelector?.matchLabels ?? spec.selector?.matchLabels ?? spec.selector;
    if (selector && kind !== "PersistentVolumeClaim") {
      const found = matches(selector);
      assert.ok(kind === "PodMonitor" ? found === pods.length : found === 1, `${kind} ${name}`);
    }
    if (kind === "StatefulSet") assert.ok(named("Service", spec.serviceName));
    if (kind === "ScaledObject") {
      assert.ok(named(spec.scaleTargetRef.kind, spec.scaleTargetRef.name));
    }
    for (const { from = [] } of kind === "NetworkPolicy" ? spec.ingress : []) {
      const edges = from.map(({ podSelector }: Resource) => podSelector?.matchLabels).filter(
        Boolean,
      );
      for (const labels of edges) assert.equal(matches(labels), 1);
    }
    const pod = podOf(resource);
    if (pod) podHolds(pod.spec, spec, named);
  }
}

/** Pinned, not root, read-only; every volume is there, and every one that is there is used. */
function podHolds(
  pod: Resource,
  { volumeClaimTemplates = [] }: Resource,
  named: (kind: string, name: string) => boolean,
): void {
  const { volumes, containers, initContainers = [] } = pod;
  const all = [...containers, ...initContainers];
  const there = [
    ...volumes.map(({ name }: Resource) => name),
    ...volumeClaimTemplates.map(({ metadata }: Resource) => metadata.name),
  ];
  const mounted = all.flatMap(({ volumeMounts }) => volumeMounts.map(({ name }: Resource) => name));
  assert.deepEqual([...new Set(mounted)].sort(), there.sort());
  for (const { persistentVolumeClaim: claim } of volumes) {
    if (claim) assert.ok(named("PersistentVolumeClaim", claim.claimName));
  }
  assert.equal(pod.securityContext.runAsNonRoot, true);
  for (const { image, securityContext, resources } of all) {
    assert.match(image, /^registry\.example\/clairon:[\d.]+$/);
    assert.equal(securityContext.readOnlyRootFilesystem, true);
    assert.equal(securityContext.allowPrivilegeEscalation, false);
    const gpus = resources?.limits["nvidia.com/gpu"];
    assert.equal(gpus, pod.runtimeClassName ? "1" : undefined);
  }
}
