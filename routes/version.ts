/** The version that `GET /info` and `--help` report. */
export const VERSION = "0.1.0";
