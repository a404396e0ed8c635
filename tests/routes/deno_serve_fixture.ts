/** A server with a fake engine for `deno serve`; prints its port, then the request log. */
import { testApp } from "./helpers.ts";

const { app, log } = testApp({ delay: 2 });

export default {
  fetch: (request: Request) => app.fetch(request),
  onListen: (address: Deno.Addr) => console.log(JSON.stringify(address)),
} satisfies Deno.ServeDefaultExport;

log.push = (line) => {
  console.log(JSON.stringify(line));
  return 0;
};
