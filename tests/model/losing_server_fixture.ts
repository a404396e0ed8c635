/** The program, on a GPU that is lost at the first line on standard input. Its arguments are ours. */
import { main } from "../../main.ts";
import { losing } from "./losing.ts";

const gpu = losing();
Deno.stdin.readable.getReader().read().then(gpu.lose);
Deno.exit(await main(Deno.args));
