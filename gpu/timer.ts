/**
 * How long passes take on the GPU itself, by timestamps at their begin and end.
 *
 * Knows timestamp queries. Knows nothing of what a pass does. Ticks are taken for nanoseconds, as
 * they are on NVIDIA and in software: Deno does not tell a driver's own unit.
 */
import { type Gpu, GpuError } from "./device.ts";
import { Readback } from "./readback.ts";

const TICKS_PER_MILLISECOND = 1e6;
/** A pass has two timestamps of 64 bits. */
const PASS_BYTES = 16;

export class PassTimer {
  private constructor(
    private readonly gpu: Gpu,
    private readonly passes: number,
    private readonly queries: GPUQuerySet,
    private readonly resolved: GPUBuffer,
    private readonly readback: Readback,
  ) {}

  /** @throws {GpuError} when this GPU has no timestamps: see `Gpu.timestamps`. */
  static async create(gpu: Gpu, passes: number): Promise<PassTimer> {
    if (!gpu.timestamps) throw new GpuError("This GPU cannot time passes: it has no timestamps.");
    const bytes = passes * PASS_BYTES;
    const queries = gpu.device.createQuerySet({ type: "timestamp", count: 2 * passes });
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    const resolved = gpu.createBuffer("timestamps", bytes, usage);
    const readback = await Readback.create(gpu, "timestamps read", bytes);
    return new PassTimer(gpu, passes, queries, resolved, readback);
  }

  /** Begins pass `i`, from 0, of those that are timed; whoever called it ends it. */
  begin(encoder: GPUCommandEncoder, i: number): GPUComputePassEncoder {
    return encoder.beginComputePass({
      timestampWrites: {
        querySet: this.queries,
        beginningOfPassWriteIndex: 2 * i,
        endOfPassWriteIndex: 2 * i + 1,
      },
    });
  }

  /** Encodes, behind the last pass, that the timestamps of all passes can be read. */
  resolve(encoder: GPUCommandEncoder): void {
    encoder.resolveQuerySet(this.queries, 0, 2 * this.passes, this.resolved, 0);
    this.readback.copy(encoder, this.resolved, 0, this.passes * PASS_BYTES);
  }

  /**
   * Waits for what was submitted. @returns the milliseconds of each pass
   *
   * @throws {GpuError} when the GPU reported an error.
   */
  async read(): Promise<number[]> {
    const ticks = new BigUint64Array(await this.readback.read(this.passes * PASS_BYTES));
    return Array.from(
      { length: this.passes },
      (_, i) => Number(ticks[2 * i + 1] - ticks[2 * i]) / TICKS_PER_MILLISECOND,
    );
  }

  free(): void {
    this.queries.destroy();
    this.gpu.freeBuffer(this.resolved);
    this.readback.free();
  }
}
