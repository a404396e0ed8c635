/**
 * Why the hub said no, in a sentence with the cure.
 *
 * Knows the hub's statuses and error codes. Knows no request.
 */
import { quote } from "../checkpoint/report.ts";
import { suggestion } from "../cli/closest.ts";
import { BRANCHES } from "./branches.ts";
import { HubError } from "./error.ts";
import { DEFAULT_REPO, type Source } from "./names.ts";

export interface Refused {
  status: number;
  headers: Headers;
  source: Source;
  endpoint: string;
  /** Whether a token was sent. */
  hasToken: boolean;
}

const SET_TOKEN = "set HF_TOKEN (a token from https://huggingface.co/settings/tokens)";

export function refusal({ status, headers, source, endpoint, hasToken }: Refused): HubError {
  const { repo, revision } = source;
  const code = headers.get("x-error-code");
  if (code === "GatedRepo") {
    const account = hasToken ? "the account of this token has none yet" : `then ${SET_TOKEN}`;
    return new HubError(
      `${repo} wants its terms accepted: ask for access on ${endpoint}/${repo}; ${account}.`,
    );
  }
  if (code === "RevisionNotFound") {
    const known = repo === DEFAULT_REPO ? BRANCHES.map(({ revision }) => revision) : [];
    return new HubError(
      `${repo} has no branch, tag or commit ${quote(revision)}.${suggestion(revision, known)}`,
    );
  }
  if (code === "EntryNotFound") {
    return new HubError(`${repo} lists a file at ${revision} that it does not have.`);
  }
  if (status === 401 || (status === 404 && !hasToken)) {
    const cure = hasToken
      ? "HF_TOKEN (or the token file) holds a token that the hub does not accept"
      : `if it is private, ${SET_TOKEN}`;
    return new HubError(`${endpoint} shows no model ${repo}: check the name; ${cure}.`);
  }
  if (status === 403) {
    return new HubError(
      `The hub refuses ${repo}${said(headers)}: ` +
        (hasToken ? "the token may not read it." : `${SET_TOKEN}.`),
    );
  }
  if (status === 404) {
    return new HubError(
      `${endpoint} shows no model ${repo}: check the name, and whether the token may read it.`,
    );
  }
  return new HubError(`The hub answered ${status} for ${repo}${said(headers)}.`);
}

/** The hub's own words, which come from elsewhere: quoted. */
function said(headers: Headers): string {
  const message = headers.get("x-error-message");
  return message ? ` (${quote(message)})` : "";
}
