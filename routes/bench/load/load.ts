/**
 * `deno task bench --load`: how a running server does under load, as its clients see it.
 *
 * Knows the order of things, and that what was measured until Ctrl-C is shown, too. Knows neither
 * how a request is made nor how figures are computed.
 */
import { closedLoop, poisson } from "./arrivals.ts";
import { ask, LoadError } from "./client.ts";
import { intrude } from "./intrusion.ts";
import type { LoadOrder } from "./order.ts";
import { type LoadReport, loadTable } from "./report.ts";
import { secondTurn } from "./second_turn.ts";
import { Tally } from "./tally.ts";
import { meet, type Server } from "./target.ts";

/** As shells have it for a program that SIGINT ended. */
const INTERRUPTED = 130;

/** Returns the exit code: 0, 1 if nothing could be measured, 130 after Ctrl-C. */
export async function load(order: LoadOrder): Promise<number> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  Deno.addSignalListener("SIGINT", onSignal);
  try {
    const server = await meet(order.address, stop.signal);
    const report = await measure(order, server, stop.signal);
    const json = JSON.stringify(report);
    console.log(`${loadTable(report)}\n\n${json}`);
    // Last, so that a folder that cannot be written costs no figures.
    if (order.json !== undefined) await Deno.writeTextFile(order.json, `${json}\n`);
    return stop.signal.aborted ? INTERRUPTED : report.load?.requests === 0 ? 1 : 0;
  } catch (error) {
    if (stop.signal.aborted) return INTERRUPTED;
    if (!(error instanceof LoadError)) throw error;
    console.error(`${order.address.url.origin} gave no answer (${error.kind}): ${error.message}`);
    return 1;
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
  }
}

async function measure(
  order: LoadOrder,
  server: Server,
  stopped: AbortSignal,
): Promise<LoadReport> {
  const { promptTokens, tokens, streams, rate } = order;
  const { target, texts } = server;
  const report: LoadReport = {
    date: new Date().toISOString(),
    server: order.address.url.origin,
    api: target.api,
    model: target.model,
    full_sampling: server.full,
    ...(rate === undefined ? { streams } : { rate }),
  };
  const prompt = await texts.of(promptTokens);
  if (order.warmUp > 0) {
    const bounds = { requests: order.warmUp, milliseconds: Infinity, signal: stopped };
    await closedLoop(streams, bounds, () => send(new Tally()));
  }
  if (order.intrude !== undefined) {
    const plan = { streams, promptTokens, tokens, intruder: order.intrude };
    report.intrusion = await intrude(server, plan, stopped);
  }
  if (order.secondTurn !== undefined) {
    report.second_turn = await secondTurn(server, order.secondTurn, tokens, stopped);
  }
  if (order.intrude === undefined && order.secondTurn === undefined) {
    const tally = new Tally();
    const { requests, milliseconds } = order;
    const bounds = { requests, milliseconds, signal: stopped };
    if (rate === undefined) await closedLoop(streams, bounds, () => send(tally));
    else await poisson(rate, bounds, () => send(tally));
    report.load = tally.figures();
    if (tally.firstError !== undefined) console.error(`First error: ${tally.firstError}`);
  }
  return report;

  async function send(tally: Tally): Promise<void> {
    const turns = [{ role: "user" as const, content: prompt() }];
    await tally.count(ask(target, { turns, tokens, signal: stopped }), stopped);
  }
}
