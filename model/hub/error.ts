/**
 * What keeps a model from being fetched: a sentence that names the cause and, where there is one,
 * the cure. It is printed as it stands, so it holds no stack, no token and no signed address.
 */
export class HubError extends Error {
  override name = "HubError";
}
