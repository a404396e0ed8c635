/** The program, on a GPU that is lost at each line on standard input. Its arguments are ours. */
import { main } from "../../main.ts";
import { losing } from "./losing.ts";

const gpu = losing();
(async () => {
  for await (const _ of Deno.stdin.readable) gpu.lose();
})();
Deno.exit(await main(Deno.args));
