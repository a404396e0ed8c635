/** Kubernetes' resources as the tests read them: from files, and as `kubectl kustomize` builds them. */
import { parse, parseAllDocuments } from "yaml";

const KUBERNETES = new URL("../../deploy/kubernetes/", import.meta.url);

export const OVERLAYS = ["one-gpu", "edge-and-sidecars", "autoscaling"];

// deno-lint-ignore no-explicit-any
export type Resource = any;

/** A kustomization, and where it lies under `deploy/kubernetes/`. */
export async function kustomizationOf(folder: string): Promise<Resource> {
  return parse(await Deno.readTextFile(new URL(`${folder}/kustomization.yaml`, KUBERNETES)));
}

/** Every resource of a file, under `deploy/kubernetes/`. */
export async function readResources(path: string): Promise<Resource[]> {
  return resourcesIn(await Deno.readTextFile(new URL(path, KUBERNETES)));
}

/** The files of a folder, sorted, without its kustomization. */
export function filesOf(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, KUBERNETES))].map(({ name }) => name)
    .filter((name) => name !== "kustomization.yaml").sort();
}

/** What an overlay makes. @throws {Error} with what kubectl said */
export async function build(kubectl: string, overlay: string): Promise<Resource[]> {
  const args = ["kustomize", new URL(overlay, KUBERNETES).pathname];
  const { success, stdout, stderr } = await new Deno.Command(kubectl, { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return resourcesIn(new TextDecoder().decode(stdout));
}

function resourcesIn(text: string): Resource[] {
  return parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS();
  });
}

/** The pods that a resource makes, if it makes any. */
export function podOf({ kind, spec }: Resource): Resource | undefined {
  return ["Deployment", "StatefulSet"].includes(kind) ? spec.template : undefined;
}
