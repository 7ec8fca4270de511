/** How long to go on asking, and how often. Knows nothing of Spaces: clock and chance come from outside. */

import { DeadlineExceeded, NotYet } from "./errors.js";

/** Where a call stands, for a page to show. */
export interface Status {
  stage: "waking" | "building" | "starting" | "queued" | "running";
  /** The stage in words: `waking`, `queued 3 of 7`. */
  text: string;
  /** Place in the queue, from 1, and its length; only while queued, once the Space has told. */
  position?: number;
  of?: number;
  /** Which try this is, from 1. */
  attempt: number;
  /** Milliseconds until the next try; only between two tries. */
  retryInMs?: number;
}

/** Time and chance, in milliseconds and from 0 to 1; tests bring their own. */
export interface Clock {
  now(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  random(): number;
}

export interface Patience {
  /** Milliseconds for everything together: waking, queue and answer. */
  deadline: number;
  signal?: AbortSignal | undefined;
  onStatus?: ((status: Status) => void) | undefined;
  clock: Clock;
}

export type Report = (status: Omit<Status, "attempt" | "text">) => void;

const BASE = 1_000;
const CAP = 15_000;
const LONGEST_TIMER = 2 ** 31 - 1;

export const realTime: Clock = {
  now: () => performance.now(),
  random: Math.random,
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const leave = () => (clearTimeout(timer), reject(signal.reason));
      const timer = setTimeout(() => (signal.removeEventListener("abort", leave), resolve()), ms);
      signal.addEventListener("abort", leave, { once: true });
    }),
};

/** Milliseconds to wait after the nth failure: exponential backoff, with full jitter to spread callers. */
export function backoff(failures: number, retryAfter: number, random: () => number): number {
  return Math.max(retryAfter, random() * Math.min(CAP, BASE * 2 ** failures));
}

/**
 * Try until it works.
 *
 * Goes on after `NotYet` only. Rejects with any other error of `attempt`, with `DeadlineExceeded`, or with
 * the reason of the signal that the caller aborted.
 */
export async function persist<T>(
  patience: Patience,
  attempt: (signal: AbortSignal, report: Report) => Promise<T>,
): Promise<T> {
  const { deadline, clock } = patience;
  const tell = onceEach(patience.onStatus);
  const end = clock.now() + deadline;
  let last: NotYet | undefined;
  const over = new AbortController();
  const { signal } = over;
  const leave = () => over.abort(patience.signal?.reason);
  const expire = () => over.abort(new DeadlineExceeded(deadline, last));
  const timer = setTimeout(expire, Math.min(deadline, LONGEST_TIMER));
  patience.signal?.addEventListener("abort", leave);
  if (patience.signal?.aborted) leave();
  try {
    for (let tries = 1; ; tries++) {
      const report: Report = (status) => tell({ ...status, text: inWords(status), attempt: tries });
      try {
        signal.throwIfAborted();
        return await attempt(signal, report);
      } catch (error) {
        if (signal.aborted || !(error instanceof NotYet)) throw error;
        last = error;
      }
      const left = end - clock.now();
      if (last.retryAfter >= left) throw new DeadlineExceeded(deadline, last);
      const wait = backoff(tries - 1, last.retryAfter, clock.random);
      report({ stage: last.stage, retryInMs: Math.round(wait) });
      await clock.sleep(Math.min(wait, left), signal);
      if (clock.now() >= end) throw new DeadlineExceeded(deadline, last);
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(timer);
    patience.signal?.removeEventListener("abort", leave);
  }
}

/** What is said twice in a row is told once. */
function onceEach(onStatus: Patience["onStatus"]): (status: Status) => void {
  let last = "";
  return (status) => {
    const said = JSON.stringify(status);
    if (said !== last) onStatus?.(status);
    last = said;
  };
}

function inWords({ stage, position, of }: Omit<Status, "attempt" | "text">): string {
  return position === undefined ? stage : `${stage} ${position} of ${of}`;
}
