/**
 * A kernel is one WGSL file, its bindings by name, and the constants it was compiled with.
 *
 * Knows pipelines, bind groups and compile errors. Knows nothing of what a kernel computes.
 */
import { type Gpu, GpuError } from "./device.ts";
import { printShader } from "./shader_print.ts";

export type Access = "read" | "read_write" | "uniform";

/** What a kernel file declares: binding i of group 0 is the i-th name of `bindings`. */
export interface KernelSource<Name extends string> {
  name: string;
  code: string;
  bindings: Record<Name, Access>;
}

export type Binding = GPUBuffer | { buffer: GPUBuffer; offset: number; size: number };

/** Workgroups in x, y and z. */
export type Grid = [x: number, y?: number, z?: number];

/** A compiled kernel; `bind` gives it its buffers, once. */
export interface Kernel<Name extends string, Size extends unknown[] = Grid> {
  readonly name: string;
  bind(buffers: Record<Name, Binding>): BoundKernel<Size>;
}

/** A kernel with its buffers: nothing is created when it is dispatched. */
export interface BoundKernel<Size extends unknown[] = Grid> {
  readonly name: string;
  /** Encodes one dispatch for work of the given size. */
  dispatch(pass: GPUComputePassEncoder, ...size: Size): void;
}

/** Declares a kernel; the type of its bindings follows from the names given. */
export function defineKernel<Name extends string>(source: KernelSource<Name>): KernelSource<Name> {
  return source;
}

const compiled = new WeakMap<Gpu, Map<string, Promise<Pipeline>>>();
const queues = new WeakMap<Gpu, Promise<unknown>>();

/**
 * Compiles a kernel for a set of override constants; the same request is compiled once a device.
 * `grid` turns the size of the work into workgroups; without it a dispatch names workgroups itself.
 *
 * @throws {GpuError} with the compiler's message, the kernel's name and the line.
 */
export function compileKernel<Name extends string>(
  gpu: Gpu,
  source: KernelSource<Name>,
  constants?: Record<string, number>,
): Promise<Kernel<Name>>;
export function compileKernel<Name extends string, Size extends unknown[]>(
  gpu: Gpu,
  source: KernelSource<Name>,
  constants: Record<string, number>,
  grid: (...size: Size) => Grid,
): Promise<Kernel<Name, Size>>;
export async function compileKernel<Name extends string>(
  gpu: Gpu,
  source: KernelSource<Name>,
  constants: Record<string, number> = {},
  grid: (...size: Grid) => Grid = (...size) => size,
): Promise<Kernel<Name>> {
  const known = compiled.get(gpu) ?? new Map<string, Promise<Pipeline>>();
  compiled.set(gpu, known);
  const key = `${source.name} ${JSON.stringify(constants)}`;
  let pipeline = known.get(key);
  if (!pipeline) {
    // Error scopes are one stack a device: two compiles at once would swap their errors.
    const before = queues.get(gpu) ?? Promise.resolve();
    pipeline = before.then(() => compileNow(gpu, source, constants));
    queues.set(gpu, pipeline.catch(() => undefined));
    known.set(key, pipeline);
  }
  return { name: source.name, bind: binder(gpu, source, await pipeline, grid) };
}

interface Pipeline {
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
}

async function compileNow<Name extends string>(
  gpu: Gpu,
  source: KernelSource<Name>,
  constants: Record<string, number>,
): Promise<Pipeline> {
  const { device } = gpu;
  const label = source.name;
  const names = Object.keys(source.bindings) as Name[];
  printShader({ ...source, constants });
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label, code: source.code });
  const layout = device.createBindGroupLayout({
    label,
    entries: names.map((name, binding) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: bufferType(source.bindings[name]) },
    })),
  });
  const pipelineLayout = device.createPipelineLayout({ label, bindGroupLayouts: [layout] });
  const pipeline = device.createComputePipeline({
    label,
    layout: pipelineLayout,
    compute: { module, entryPoint: "main", constants },
  });
  const error = await device.popErrorScope();
  if (error) {
    const info = await module.getCompilationInfo();
    const lines = info.messages.map((m) => `line ${m.lineNum}: ${m.message}`);
    throw new GpuError(`kernel ${label} does not compile: ${[error.message, ...lines].join("\n")}`);
  }
  return { pipeline, layout };
}

function binder<Name extends string>(
  gpu: Gpu,
  source: KernelSource<Name>,
  { pipeline, layout }: Pipeline,
  grid: (...size: Grid) => Grid,
): Kernel<Name>["bind"] {
  const names = Object.keys(source.bindings) as Name[];
  return (buffers) => {
    const group = gpu.device.createBindGroup({
      label: source.name,
      layout,
      entries: names.map((name, binding) => ({ binding, resource: resource(buffers[name]) })),
    });
    return {
      name: source.name,
      dispatch(pass, ...size) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(...grid(...size));
      },
    };
  };
}

function bufferType(access: Access): GPUBufferBindingType {
  if (access === "uniform") return "uniform";
  return access === "read" ? "read-only-storage" : "storage";
}

function resource(binding: Binding): GPUBufferBinding {
  return "buffer" in binding ? binding : { buffer: binding };
}
