/**
 * The persistent path: the layers of a one-row step in a dispatch an arena of weights, by workgroups
 * that all run at once and meet.
 *
 * Knows how many workgroups this GPU runs at once, by trying, and the buffers they exchange through.
 * Knows nothing of the portable path, nor of which one is taken.
 */
import { storageBuffer, storageFrom } from "../gpu/buffer.ts";
import { type Gpu, GpuError } from "../gpu/device.ts";
import type { BoundKernel } from "../gpu/kernel.ts";
import { readOnce } from "../gpu/readback.ts";
import {
  cannotDecodeLayers,
  decodeLayers,
  exchangeBytes,
  type LayerPlaces,
  type LayersShape,
  meetings,
  mostRuns,
} from "../kernels/decode_layers.ts";
import { NO_SHARE, packShares, shares } from "../kernels/decode_shares.ts";
import { MeetingPoint, MOST_WORKGROUPS } from "../kernels/grid_barrier.ts";
import type { FalconConfig } from "./config.ts";
import { BLOCK_TOKENS, type KvCache } from "./kv_cache.ts";
import type { State } from "./state.ts";
import type { Arena, FalconWeights, LayerWeights } from "./weights.ts";

/** Looks at the meeting point, somewhat less than a microsecond each, before one gives up. */
const PATIENCE = { trial: 10_000, work: 1_000_000 };
/** A first guess; what counts is what the kernel compiled for it shows. */
const TYPICAL_WORKGROUPS = 128;

/** What the layers' kernels are bound to, beside weights. */
export interface Surroundings {
  state: State;
  kv: KvCache;
  angles: GPUBuffer;
}

/** Why there is no persistent path, in our own words: anybody may read it. */
export class PathError extends GpuError {
  override name = "PathError";

  constructor(reason: string) {
    super(`The persistent path cannot be taken: ${reason}.`);
  }
}

type Layers = BoundKernel<[workgroups: number]>;
type Exchange = Record<"shares" | "qkv" | "ffn" | "mix" | "mixWeights", GPUBuffer>;

export class PersistentLayers {
  private constructor(
    private readonly gpu: Gpu,
    /** Of each dispatch. */
    readonly workgroups: number,
    private readonly arenas: Layers[],
    private readonly exchange: Exchange,
    private readonly meeting: MeetingPoint,
  ) {}

  /**
   * Compiles and binds a kernel an arena. With `workgroups` it takes that many unseen.
   *
   * @throws {PathError} saying why this GPU or model cannot do it.
   * @throws {GpuError} when the GPU refuses the kernel.
   */
  static async create(
    gpu: Gpu,
    config: FalconConfig,
    weights: FalconWeights,
    surroundings: Surroundings,
    workgroups?: number,
  ): Promise<PersistentLayers> {
    const { hiddenSize: hidden, ffnSize: ffn, headDim } = config;
    const reason = cannotDecodeLayers(gpu, { hidden, ffn, headDim }) ??
      cannotBeShown(weights, surroundings.kv);
    if (reason !== undefined) throw new PathError(reason);
    const rig = new Rig(gpu, shapeOf(config, weights, surroundings.kv), surroundings);
    const held = workgroups ?? await rig.workgroupsHeld(weights.arenas[0]);
    const exchange = rig.exchange(packShares(shares(rig.shape, held)), held);
    const arenas: Layers[] = [];
    for (const arena of weights.arenas) arenas.push(await rig.bind(arena, exchange, held));
    return new PersistentLayers(gpu, held, arenas, exchange, rig.meeting);
  }

  /** Whether workgroups waited in vain since `prepare`: what was computed then is nothing. */
  get broken(): { buffer: GPUBuffer; offset: number } {
    return { buffer: this.meeting.buffer, offset: this.meeting.brokenAt };
  }

  /** Before each step that is no chained one. */
  prepare(): void {
    this.meeting.clear(this.workgroups, PATIENCE.work);
  }

  /** Encodes all layers for the one row of the step: `state.x` goes from embedding to output. */
  encode(pass: GPUComputePassEncoder): void {
    for (const arena of this.arenas) arena.dispatch(pass, this.workgroups);
  }

  /** Frees all that it alone has; weights and KV cache are everybody's. */
  free(): void {
    for (const buffer of Object.values(this.exchange)) this.gpu.freeBuffer(buffer);
    this.gpu.freeBuffer(this.meeting.buffer);
  }
}

function cannotBeShown({ arenas, layers }: FalconWeights, { together }: KvCache) {
  if (arenas.length === 0) return "the weights do not lie together";
  if (!together) return "one binding does not show the whole KV cache";
  const scattered = layers.some(({ norm, qkv, dense, up, down }) =>
    [qkv, dense, up, down].some(({ slices }) =>
      slices.length > 1 || slices[0].range.buffer !== norm.weight.buffer
    )
  );
  if (scattered) return "one binding does not show the weights of a layer";
}

function shapeOf(config: FalconConfig, weights: FalconWeights, kv: KvCache): LayersShape {
  const { hiddenSize: hidden, ffnSize: ffn, heads, headDim, layerNormEpsilon: epsilon } = config;
  const [layer] = weights.layers;
  return {
    bits: layer.qkv.bits,
    hidden,
    ffn,
    heads,
    headDim,
    block: BLOCK_TOKENS,
    epsilon,
    hiddenGroup: layer.qkv.groupSize,
    ffnGroup: layer.down.groupSize,
    oneOrder: weights.layers.every(({ oneOrder }) => oneOrder),
    places: placesOf(layer),
    layerSize: weights.arenas[0].layerBytes / 16,
    kvSize: kv.layers[0].size / 16,
  };
}

/** Every layer of an arena has its parts in the places of the first one. */
function placesOf({ norm, qkv, dense, up, down, qkvOrder, upOrder, denseOrder }: LayerWeights) {
  const places = {
    qkvAt: qkv.slices[0].range,
    upAt: up.slices[0].range,
    downAt: down.slices[0].range,
    denseAt: dense.slices[0].range,
    qkvGroups: qkv.groups,
    upGroups: up.groups,
    downGroups: down.groups,
    denseGroups: dense.groups,
    qkvBias: qkv.bias,
    upBias: up.bias,
    downBias: down.bias,
    denseBias: dense.bias,
    qkvOrder,
    upOrder,
    denseOrder,
    normWeight: norm.weight,
    normBias: norm.bias,
  };
  const sixteens = Object.entries(places).map(([name, { offset }]) => [name, offset / 16]);
  return Object.fromEntries(sixteens) as LayerPlaces;
}

/** Binds kernels, and finds out how many workgroups can meet. */
class Rig {
  readonly meeting: MeetingPoint;

  constructor(
    private readonly gpu: Gpu,
    readonly shape: LayersShape,
    private readonly surroundings: Surroundings,
  ) {
    this.meeting = new MeetingPoint(gpu);
  }

  exchange(packed: Uint32Array<ArrayBuffer>, workgroups: number): Exchange {
    const { gpu, shape } = this;
    const bytes = exchangeBytes(shape, mostRuns(gpu, shape, workgroups));
    return {
      shares: storageFrom(gpu, "shares", packed),
      qkv: storageBuffer(gpu, "qkv exchange", bytes.qkv),
      ffn: storageBuffer(gpu, "ffn exchange", bytes.ffn),
      mix: storageBuffer(gpu, "mix exchange", bytes.mix),
      mixWeights: storageBuffer(gpu, "mix weights exchange", bytes.mixWeights),
    };
  }

  async bind(arena: Arena, exchange: Exchange, workgroups: number): Promise<Layers> {
    const { gpu, shape, meeting, surroundings: { state, kv, angles } } = this;
    const kernel = await decodeLayers(gpu, shape, arena.count, workgroups);
    const { buffer, offset, size } = kv.layers[arena.first];
    return kernel.bind({
      weights: arena.buffer,
      rows: state.rows,
      tables: kv.tables,
      angles,
      kv: { buffer, offset, size: size * arena.count },
      meeting: meeting.buffer,
      x: state.x,
      ...exchange,
    });
  }

  /**
   * The most workgroups of the arena's kernel that were seen to meet. The kernel's memory depends on
   * their number, hence a second look at the one compiled for it.
   *
   * @throws {PathError} when not even one gets through.
   */
  async workgroupsHeld(arena: Arena): Promise<number> {
    const idle = packShares(Array(MOST_WORKGROUPS).fill(NO_SHARE));
    const held = async (workgroups: number, most: number) => {
      const exchange = this.exchange(idle, workgroups);
      const layers = await this.bind(arena, exchange, workgroups);
      const found = await this.#mostThatMeet(layers, meetings(arena.count), most);
      for (const buffer of Object.values(exchange)) this.gpu.freeBuffer(buffer);
      return found;
    };
    const guess = await held(TYPICAL_WORKGROUPS, MOST_WORKGROUPS);
    const found = guess > 0 ? await held(guess, guess) : 0;
    if (found > 0) return found;
    throw new PathError("no workgroups meet");
  }

  /** By bisection; a number that is too high costs its patience. */
  async #mostThatMeet(layers: Layers, times: number, most: number): Promise<number> {
    const meet = async (workgroups: number) => {
      const { gpu, meeting } = this;
      meeting.clear(workgroups, PATIENCE.trial);
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      layers.dispatch(pass, workgroups);
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
      const [arrivals, broken] = new Uint32Array(await readOnce(gpu, meeting.buffer, 8));
      return broken === 0 && arrivals === times * workgroups;
    };
    if (await meet(most)) return most;
    let works = 0;
    let fails = most;
    for (let next = 1; next < fails && fails - works > 1;) {
      if (await meet(next)) works = next;
      else fails = next;
      next = fails === most ? next * 2 : Math.floor((works + fails) / 2);
    }
    return works;
  }
}
