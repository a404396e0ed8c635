/**
 * The folder of the model that a command is given, fetched with a progress bar if need be.
 *
 * Knows standard error. Knows nothing of what the command does with the model.
 */
import { findModel } from "../hub/find.ts";
import { hubSettings } from "../hub/settings.ts";
import { retryNote } from "./notes.ts";
import { transfer } from "./transfer.ts";

/**
 * @param model a folder, or owner/name[:revision]
 * @throws {HubError} {CheckpointError} with the cure
 */
export async function modelFolder(model: string, signal?: AbortSignal): Promise<string> {
  const shown = transfer(`Downloading ${model}`);
  try {
    const { folder } = await findModel(model, () => ({
      settings: hubSettings(Deno.env.toObject()),
      signal,
      onProgress: shown.update,
      onNote: (sentence) => console.error(sentence),
      onRetry: (reason, seconds) => console.error(retryNote(reason, seconds)),
    }));
    return folder;
  } finally {
    shown.end();
  }
}
