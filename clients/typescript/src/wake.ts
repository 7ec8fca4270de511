/** What the Hub says of a Space: where it is, and whether it is awake. A sleeping one is woken. */

import { NotYet, SpaceUnavailable } from "./errors.js";

export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** Stages that pass by themselves, and as what. A sleeping Space does not: something must knock. */
const PASSING = {
  SLEEPING: ["waking", "The Space was asleep and is still waking up."],
  BUILDING: ["building", "The Space is still being built."],
  APP_STARTING: ["starting", "The Space is still starting."],
  RUNNING_APP_STARTING: ["starting", "The Space is still starting."],
} as const;

const LASTING = {
  PAUSED: "paused",
  STOPPED: "paused",
  RUNTIME_ERROR: "broken",
  BUILD_ERROR: "broken",
  CONFIG_ERROR: "broken",
  NO_APP_FILE: "broken",
  DELETING: "not_found",
} as const;

/** A stage that the Hub may add one day is left to the app itself: it answers, or it does not. */
const isIn = <T extends object>(table: T, stage: PropertyKey): stage is keyof T =>
  Object.hasOwn(table, stage);

const ID = /^[\w.-]+\/[\w.-]+$/;
const PAGE = /^\/spaces\/([\w.-]+\/[\w.-]+)\/?$/;

/** One Space, named as `owner/name`, by its page on the Hub, or by its address; then no Hub is asked. */
export class Doorbell {
  readonly #hub: string;
  readonly #token: string | undefined;
  readonly #fetch: Fetch;
  readonly #id: string | undefined;
  #address: string | undefined;

  constructor(space: string, hub: string, token: string | undefined, fetch: Fetch) {
    this.#hub = hub;
    this.#token = token;
    this.#fetch = fetch;
    const name = space.trim();
    if (ID.test(name)) {
      this.#id = name;
    } else if (URL.canParse(name) && /^https?:/.test(name)) {
      const { origin, pathname } = new URL(name);
      this.#id = origin === new URL(hub).origin ? PAGE.exec(pathname)?.[1] : undefined;
      this.#address = this.#id ? undefined : name.replace(/[?#].*$/, "").replace(/\/+$/, "");
    } else {
      throw new SpaceUnavailable("not_found");
    }
  }

  /**
   * The address of the Space, which is awake as far as anybody knows.
   *
   * Throws `NotYet` while it is not, having woken it, and `SpaceUnavailable` where it will not be.
   */
  async ring(signal: AbortSignal): Promise<string> {
    if (!this.#id) return this.#address!;
    this.#address ??= (await this.#ask<{ host: string }>("/host", signal)).host;
    const { stage } = (await this.#ask<{ runtime: { stage: string } }>("", signal)).runtime;
    if (isIn(LASTING, stage)) throw new SpaceUnavailable(LASTING[stage]);
    if (isIn(PASSING, stage)) {
      if (stage === "SLEEPING") this.#knock(this.#address, signal);
      const [as, sentence] = PASSING[stage];
      throw new NotYet(as, sentence);
    }
    return this.#address;
  }

  async #ask<T>(path: string, signal: AbortSignal): Promise<T> {
    const fetch = this.#fetch;
    const headers: HeadersInit = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    let response: Response;
    try {
      response = await fetch(`${this.#hub}/api/spaces/${this.#id}${path}`, { headers, signal });
      if (response.ok) return (await response.json()) as T;
    } catch {
      throw new NotYet("waking", "The Hub cannot be reached.");
    }
    if (response.status === 404) throw new SpaceUnavailable("not_found");
    if (response.status === 401 || response.status === 403) throw new SpaceUnavailable("private");
    throw new NotYet("waking", "The Hub does not say how the Space is.", retryAfter(response));
  }

  /** Any request wakes it. The answer is of no interest, and no page of another origin may read it anyway. */
  #knock(address: string, signal: AbortSignal): void {
    const fetch = this.#fetch;
    fetch(address, { mode: "no-cors", signal })
      .then((response) => response.body?.cancel())
      .catch(() => {});
  }
}

/** Milliseconds that a response asks us to wait: `Retry-After` is seconds or a date. */
export function retryAfter(response: Response): number {
  const value = response.headers.get("Retry-After");
  if (!value) return 0;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return ms > 0 ? ms : 0;
}
