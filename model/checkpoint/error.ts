/**
 * The one error a checkpoint can cause: a sentence that names the file, the tensor or key, what was
 * expected and what was found. It is printed as it stands, so it holds no stack and no secret.
 */
export class CheckpointError extends Error {
  override name = "CheckpointError";
}
