/** What can go wrong. Each message is one plain sentence for the person who sent the film. */

/** The answer is no, and asking again would not change it: `code` is the service's, as `out_of_scope`. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly code: string;

  constructor(code: string, sentence: string) {
    super(sentence);
    this.code = code;
  }
}

/** The film could not be fetched from the URL that it was given by. */
export class FilmUnreadable extends Error {
  override readonly name = "FilmUnreadable";
}

/** Nobody is there to answer, and waiting would not help: somebody has to see to the Space itself. */
export class SpaceUnavailable extends Error {
  override readonly name = "SpaceUnavailable";
  readonly kind: "paused" | "broken" | "not_found" | "private" | "not_second_look";

  constructor(kind: SpaceUnavailable["kind"]) {
    super(UNAVAILABLE[kind]);
    this.kind = kind;
  }
}

const UNAVAILABLE = {
  paused: "The Space has been paused by its owner, who alone can start it again.",
  broken: "The Space is broken and does not start; its owner finds the reason in its log.",
  not_found: "There is no such Space; check its name or address.",
  private: "The Space is private or does not exist; check its name, and give a token that may read it.",
  not_second_look: "What answers at this address is not Second Look; check the name or the address.",
};

/** Asleep, starting or busy for longer than the caller would wait; the message says which. */
export class DeadlineExceeded extends Error {
  override readonly name = "DeadlineExceeded";

  constructor(deadline: number, last?: NotYet) {
    super(`No answer within ${deadline / 1000} seconds. ${last?.message ?? "The Space took too long."}`);
  }
}

/** One may still come: ask again after `retryAfter` milliseconds or more. Never reaches the caller. */
export class NotYet extends Error {
  override readonly name = "NotYet";
  readonly stage: "waking" | "building" | "starting" | "queued";
  readonly retryAfter: number;

  constructor(stage: NotYet["stage"], sentence: string, retryAfter = 0) {
    super(sentence);
    this.stage = stage;
    this.retryAfter = retryAfter;
  }
}
