/** The version that `GET /info` reports. */
export const VERSION = "0.1.0";
