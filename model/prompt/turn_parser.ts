/**
 * From generated text, as it arrives, to turns: who begins, what they say, who ends.
 *
 * Knows the marks of turns and when to stop. The events do not depend on how the text was cut into
 * pieces, except for how a turn's text is spread over its events. Knows no token and no engine:
 * whoever generates stops when `finished` is set.
 */
import type { BuiltPrompt } from "./build.ts";
import { hasTags, MAX_NAME, numbered, PromptError, readName } from "./format.ts";
import { TurnText } from "./turn_text.ts";

export type TurnEvent =
  | { type: "turn_start"; speaker: string }
  | { type: "text"; speaker: string; delta: string }
  | { type: "turn_end"; speaker: string };

/** What the text goes on from: what `buildPrompt` gives, or its parts. */
export type Opening =
  & Pick<BuiltPrompt, "format" | "next">
  & Partial<Pick<BuiltPrompt, "speakers" | "names" | "start">>;

export interface TurnParserOptions {
  /** Stop when so many turns have ended. Default: 1; with `until`, no limit. */
  maxTurns?: number | undefined;
  /** Stop when this speaker would speak next. */
  until?: string | undefined;
  /** Show whole sentences only, and leave out the last one if the text breaks off in it. */
  tidy?: boolean | undefined;
}

/** The turn that was asked for ended; the last of several did; or it is the turn of `until`. */
export type TurnFinish = "turn" | "turns" | "until";

type State =
  /** Inside a turn. */
  | "text"
  /** Before a turn's first word, its mark read or not. */
  | "between"
  /** After "[". */
  | "tag"
  /** After "-" at the start of a line. */
  | "dash";

/**
 * The first turn begins at once, and is the answer's even if it stays empty. Others begin with
 * their first word, so there is none without text, and never half a tag. A line without its mark is
 * another turn of the same speaker. In the formats with tags, "[" always ends a turn; a bracket
 * that is no tag is left out.
 */
export class TurnParser {
  /** May be switched on later: what is out stays out. */
  tidy: boolean;
  readonly #opening: Opening;
  readonly #tags: boolean;
  readonly #maxTurns: number;
  readonly #until: string | undefined;
  #finished: TurnFinish | undefined;
  #events: TurnEvent[] = [];
  #state: State = "text";
  #speaker: string;
  #turns = 0;
  #turn: TurnText | undefined;
  /** Whether the present turn's start was told. */
  #started = false;
  #lineStart = false;
  #tag = "";

  /** @throws {PromptError} if nobody answers */
  constructor(opening: Opening, { maxTurns, until, tidy = false }: TurnParserOptions = {}) {
    if (opening.next === null) throw new PromptError("`next` should name who answers");
    this.#opening = opening;
    this.#speaker = opening.next;
    this.#tags = hasTags(opening.format);
    this.#maxTurns = maxTurns ?? (until === undefined ? 1 : Infinity);
    this.#until = until;
    this.tidy = tidy;
  }

  /** Set once there is nothing more to come; what is pushed afterwards is ignored. */
  get finished(): TurnFinish | undefined {
    return this.#finished;
  }

  push(text: string): TurnEvent[] {
    this.#begin();
    for (const character of text.split("")) {
      if (this.#finished) break;
      this.#take(character);
    }
    if (this.#state === "text" && this.#turn) this.#say(this.#turn.release(this.tidy));
    return this.#events.splice(0);
  }

  /**
   * Ends the text, and with it the turn.
   *
   * @param options `complete`: the model ended the text, so that there is nothing to tidy
   */
  flush({ complete = false }: { complete?: boolean } = {}): TurnEvent[] {
    this.#begin();
    const turn = this.#turn;
    if (turn) {
      this.#say(this.tidy && !complete ? turn.cut(this.#turns > 0) : turn.end());
      this.#close();
    }
    return this.#events.splice(0);
  }

  #begin(): void {
    if (this.#turn || this.#turns > 0) return;
    const { start = "" } = this.#opening;
    this.#turn = new TurnText(start);
    this.#events.push({ type: "turn_start", speaker: this.#speaker });
    this.#started = true;
    this.#say(start);
  }

  #take(character: string): void {
    switch (this.#state) {
      case "text":
        return this.#takeText(character);
      case "between":
        return this.#takeBetween(character);
      case "tag":
        return this.#takeTag(character);
      case "dash":
        return this.#takeDash(character);
    }
  }

  #takeText(character: string): void {
    const turn = this.#turn!;
    if (this.#tags && character === "[") {
      this.#endTurn();
      this.#openTag();
    } else if (character === "\n") {
      // Before the first word, a line break ends nothing, nor does the mark after it.
      this.#lineStart = true;
      if (turn.isEmpty) turn.clear();
      else this.#endTurn();
    } else if (!turn.isEmpty || !this.#isBlank(character)) turn.add(character);
  }

  /** Whether a character before the first word says nothing. */
  #isBlank(character: string): boolean {
    const { format } = this.#opening;
    if (format === "dash" && character === "-" && this.#lineStart) return true;
    // A monologue goes on in the middle of its line: there the first blank is part of it.
    return format !== "monologue" && /\s/.test(character);
  }

  #takeBetween(character: string): void {
    if (character === "\n") this.#lineStart = true;
    else if (/\s/.test(character)) return;
    else if (this.#tags && character === "[") this.#openTag();
    else if (this.#opening.format === "dash" && character === "-" && this.#lineStart) {
      this.#state = "dash";
    } else this.#startTurn(character);
  }

  #openTag(): void {
    this.#state = "tag";
    this.#tag = "";
  }

  #takeTag(character: string): void {
    if (character === "[") return this.#openTag();
    if (character === "]") {
      this.#state = "between";
      this.#lineStart = false;
      const name = this.#tag.endsWith(":") && readName(this.#tag.slice(0, -1));
      if (name) this.#hand(this.#opening.names?.get(name) ?? name);
    } else if (character === "\n" || this.#tag.length > MAX_NAME) {
      this.#state = "between";
      this.#lineStart = character === "\n";
    } else this.#tag += character;
  }

  /** A dash is a mark unless it is a minus sign or one of several; see `DASH_MARK`. */
  #takeDash(character: string): void {
    if (/[-\d]/.test(character)) {
      this.#startTurn("-");
    } else {
      this.#state = "between";
      this.#lineStart = false;
      this.#hand(this.#opposite());
    }
    if (!this.#finished) this.#take(character);
  }

  /** Gives the word to a speaker. */
  #hand(speaker: string): void {
    this.#speaker = speaker;
    if (speaker === this.#until) this.#finished = "until";
  }

  #startTurn(character: string): void {
    // Without a mark, nobody was handed the word: the same speaker goes on.
    if (this.#speaker === this.#until) this.#finished = "until";
    if (this.#finished) return;
    this.#turn = new TurnText();
    this.#turn.add(character);
    this.#started = false;
    this.#state = "text";
  }

  #endTurn(): void {
    this.#say(this.#turn!.end());
    this.#close();
    this.#turns++;
    this.#state = "between";
    this.#lineStart = true;
    // With tags, who is next is known when the tag is.
    const next = this.#tags ? undefined : this.#opposite();
    if (this.#turns >= this.#maxTurns) this.#finished = this.#maxTurns === 1 ? "turn" : "turns";
    else if (next !== undefined && next === this.#until) this.#finished = "until";
  }

  #say(delta: string): void {
    if (delta === "") return;
    const speaker = this.#speaker;
    if (!this.#started) this.#events.push({ type: "turn_start", speaker });
    this.#started = true;
    this.#events.push({ type: "text", speaker, delta });
  }

  #close(): void {
    if (this.#started) this.#events.push({ type: "turn_end", speaker: this.#speaker });
    this.#turn = undefined;
  }

  /** Who speaks after the present speaker: in a monologue, the same. */
  #opposite(): string {
    if (this.#opening.format === "monologue") return this.#speaker;
    const others = this.#opening.speakers?.filter((name) => name !== this.#speaker) ?? [];
    return others[0] ?? numbered(this.#speaker === numbered(1) ? 2 : 1);
  }
}
