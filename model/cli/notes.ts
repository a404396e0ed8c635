/** Sentences that several commands say. */

/** Why a download waits. */
export function retryNote(reason: string, seconds: number): string {
  return `${reason}; trying again in ${seconds} s.`;
}
