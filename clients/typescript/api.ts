// Ask a Second Look Space about a radiograph, also while it sleeps. Paste this into a front end, name the
// Space at its end, and `npm install @gradio/client@2.7.0`. Made from the package second-look-client.

import { Client, FileData } from "@gradio/client";

// ---- What can go wrong. Each message is one plain sentence for the person who sent the film.

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
class NotYet extends Error {
  override readonly name = "NotYet";
  readonly stage: "waking" | "building" | "starting" | "queued";
  readonly retryAfter: number;

  constructor(stage: NotYet["stage"], sentence: string, retryAfter = 0) {
    super(sentence);
    this.stage = stage;
    this.retryAfter = retryAfter;
  }
}

// ---- How long to go on asking, and how often. Knows nothing of Spaces: clock and chance come from outside.

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
interface Clock {
  now(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  random(): number;
}

interface Patience {
  /** Milliseconds for everything together: waking, queue and answer. */
  deadline: number;
  signal?: AbortSignal | undefined;
  onStatus?: ((status: Status) => void) | undefined;
  clock: Clock;
}

type Report = (status: Omit<Status, "attempt" | "text">) => void;

const BASE = 1_000;
const CAP = 15_000;
const LONGEST_TIMER = 2 ** 31 - 1;

const realTime: Clock = {
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
function backoff(failures: number, retryAfter: number, random: () => number): number {
  return Math.max(retryAfter, random() * Math.min(CAP, BASE * 2 ** failures));
}

/**
 * Try until it works.
 *
 * Goes on after `NotYet` only. Rejects with any other error of `attempt`, with `DeadlineExceeded`, or with
 * the reason of the signal that the caller aborted.
 */
async function persist<T>(
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

// ---- What the Hub says of a Space: where it is, and whether it is awake. A sleeping one is woken.

type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

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
class Doorbell {
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
function retryAfter(response: Response): number {
  const value = response.headers.get("Retry-After");
  if (!value) return 0;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return ms > 0 ? ms : 0;
}

// ---- A film in whatever form the caller has it, as the file that is sent.

/** A picture or DICOM object: a `File`, a `Blob`, bytes (Node's `Buffer` too), or the URL of one. */
export type Film = Blob | Uint8Array | ArrayBuffer | URL | string;

/**
 * The film as a file.
 *
 * A URL is fetched here and not by the Space: the Space can then never be sent to addresses inside its own
 * network, and the caller can name films that only the caller may see (an intranet, a `blob:` of the page).
 */
async function asFile(film: Film, fetch: Fetch, signal: AbortSignal): Promise<File> {
  if (film instanceof File) return film;
  if (film instanceof Blob) return named(film);
  if (film instanceof URL || typeof film === "string") return fetched(film, fetch, signal);
  return named(new Blob([film as BlobPart]));
}

const named = (blob: Blob, name = "film"): File => new File([blob], name, { type: blob.type });

async function fetched(film: URL | string, fetch: Fetch, signal: AbortSignal): Promise<File> {
  if (!URL.canParse(String(film))) {
    throw new FilmUnreadable("A film given as text must be its full URL; send the file itself otherwise.");
  }
  const url = new URL(film);
  let problem = "";
  try {
    const response = await fetch(url, { signal });
    // The address's last part, where there is one: batches answer film by film, by name.
    if (response.ok) return named(await response.blob(), lastPart(url));
    problem = ` (HTTP ${response.status})`;
  } catch {
    signal.throwIfAborted();
  }
  throw new FilmUnreadable(`The film could not be fetched from its address${problem}; send the file itself.`);
}

function lastPart({ protocol, pathname }: URL): string | undefined {
  return /^https?:$/.test(protocol) ? pathname.split("/").pop() || undefined : undefined;
}

// ---- Every request to the Space of one try, watched: the first thing that goes wrong ends the try.

const SILENCE = 60_000;
const LOST = "The connection to the Space was lost.";

interface Source {
  onmessage: ((message: { data: string }) => void) | null;
  onerror: ((error: unknown) => void) | null;
}

/**
 * `@gradio/client` turns most of what can go wrong into a message, or into nothing at all: an upload that
 * fails is sent as no file, and a stream that ends early is waited for without end. So we look ourselves.
 */
class Wire {
  /** Rejects with what went wrong first, or with the reason why the caller left. */
  readonly lost: Promise<never>;
  readonly signal: AbortSignal;
  readonly #key: string;
  readonly #fetch: Fetch;
  readonly #over = new AbortController();
  #lose!: (error: unknown) => void;

  constructor(signal: AbortSignal, key: string, fetch: Fetch) {
    this.signal = signal;
    this.#key = key;
    this.#fetch = fetch;
    this.lost = new Promise((_, reject) => (this.#lose = reject));
    this.lost.catch(() => {});
    signal.addEventListener("abort", () => this.#lose(signal.reason), { signal: this.#over.signal });
  }

  /** Aborted once the try is over, whether it went well or not. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  close(): void {
    this.#over.abort();
  }

  async fetch(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init.headers);
    const request: RequestInit = { ...init, headers, signal: this.over };
    if (url.pathname.endsWith("/queue/join")) {
      // Sent again, the same film under the same key is answered again and not predicted again.
      headers.set("Idempotency-Key", this.#key);
      url.search = ""; // @gradio/client adds the query of the page around it, which is nobody's business
    }
    // What puts us into the queue and takes us out again is not cut off with the rest: see Session.
    if (/\/(queue\/join|cancel|reset)$/.test(url.pathname)) request.signal = AbortSignal.timeout(SILENCE);
    const lost = () => this.#lose(new NotYet("starting", LOST));
    // A film takes as long as the line needs; everything else is small.
    const watch = url.pathname.endsWith("/upload") ? undefined : setTimeout(lost, SILENCE);
    const fetch = this.#fetch;
    let response: Response;
    try {
      response = await fetch(url, request);
    } catch (error) {
      lost();
      throw error;
    } finally {
      clearTimeout(watch);
    }
    const problem = await verdict(response, url.pathname);
    if (problem) this.#lose(problem);
    return response;
  }

  /** Server-sent events. Gradio sends a heartbeat every 15 seconds; after 60 of silence, it is dead. */
  stream(url: URL, token: string | undefined): Source {
    const source: Source = { onmessage: null, onerror: null };
    const headers = { Accept: "text/event-stream", ...(token && { Authorization: `Bearer ${token}` }) };
    void this.#listen(source, url, { headers, signal: this.over });
    return source;
  }

  async #listen(source: Source, url: URL, init: RequestInit): Promise<void> {
    const lost = () => this.#lose(new NotYet("starting", LOST));
    let watch = setTimeout(lost, SILENCE);
    let answered = false;
    const fetch = this.#fetch;
    try {
      const response = await fetch(url, init);
      const problem = await verdict(response, url.pathname);
      if (problem) return this.#lose(problem);
      for await (const message of messages(response, this.over)) {
        clearTimeout(watch);
        watch = setTimeout(lost, SILENCE);
        answered ||= (JSON.parse(message) as { msg?: string }).msg === "process_completed";
        source.onmessage?.({ data: message });
      }
    } catch {
      // Broken off, or ended too early: one is as good as the other.
    } finally {
      clearTimeout(watch);
    }
    if (!answered) lost();
  }
}

async function* messages(response: Response, over: AbortSignal): AsyncGenerator<string> {
  const reader = response.body!.getReader();
  // The request has this signal too; but aborted as the stream ends, Node's fetch leaves a read waiting.
  over.addEventListener("abort", () => void reader.cancel().catch(() => {}), { once: true });
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/);
    rest = parts.pop() ?? "";
    for (const part of parts) {
      const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      if (data.length) yield data.map((line) => line.slice(5).trimStart()).join("\n");
    }
  }
}

/** What a response means for the try; undefined if it is as it should be. */
async function verdict(response: Response, path: string): Promise<Error | undefined> {
  const { status } = response;
  const type = response.headers.get("Content-Type") ?? "";
  if (response.ok) {
    // The app itself never speaks HTML on these addresses.
    return type.startsWith("text/html") ? new SpaceUnavailable("not_second_look") : undefined;
  }
  const wait = retryAfter(response);
  if (type.startsWith("application/json")) {
    const { code, detail } = (await response
      .clone()
      .json()
      .catch(() => ({}))) as Record<string, unknown>;
    if (typeof code === "string") return judged(code, String(detail), wait);
  }
  if ([408, 429, 502, 503, 504].includes(status)) {
    return new NotYet("starting", `The Space does not answer yet (HTTP ${status}).`, wait);
  }
  // These were there a moment ago, so the app is another one now.
  if (/\/queue\/data$|\/file=/.test(path)) return new NotYet("starting", LOST, wait);
  if (status === 401 || status === 403) return new SpaceUnavailable("private");
  if (status === 404) return new SpaceUnavailable("not_found");
  return new Refused(
    status >= 500 ? "internal_error" : "bad_request",
    `The Space could not deal with the request (HTTP ${status}).`,
  );
}

/** What one of the service's own codes means: a refusal, or something that will pass. */
function judged(code: string, sentence: string, wait = 0): Error {
  if (code === "busy") return new NotYet("queued", sentence, wait);
  // A film was sent. If there is none, it was swept away while it waited, or the app has restarted.
  if (code === "model_loading" || code === "missing_file") return new NotYet("starting", sentence, wait);
  return new Refused(code, sentence);
}

// ---- One try at one answer, over `@gradio/client`: upload, queue, answer.

type SessionOptions = NonNullable<ConstructorParameters<typeof Client>[1]> & { wire: Wire };
type Event = ReturnType<Client["submit"]> extends AsyncIterable<infer E> ? E : never;

/** What an app says of itself, a quarter of a megabyte: kept from one session to the next. */
type Known = Pick<Client, "config" | "api_prefix" | "api_info" | "api_map">;

const CODE = /^[a-z]+(_[a-z]+)+$|^busy$/;

class Session extends Client {
  declare options: SessionOptions;
  #returning = false;

  static async open(address: string, wire: Wire, token?: string, known?: Known): Promise<Session> {
    const options: SessionOptions = {
      wire,
      events: ["data", "status"],
      record_history: false, // or the answers are kept in the browser's storage
      ...(token && { token: token as `hf_${string}` }),
    };
    if (!known) return (await Session.connect(address, options)) as Session;
    const session = Object.assign(new Session(address, options), known);
    session.#returning = true;
    return session;
  }

  /** Nothing of a private Space, whose addresses are signed for a while only. */
  get known(): Known | undefined {
    const { config, api_prefix, api_info, api_map } = this;
    return this.jwt ? undefined : { config, api_prefix, api_info, api_map };
  }

  override fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    return this.options.wire.fetch(input, init);
  }

  override stream(url: URL): EventSource {
    // The heartbeat keeps a session's state alive, and these routes have none.
    const { wire, token } = this.options;
    const inert: Source = { onmessage: null, onerror: null };
    return (url.pathname.includes("/heartbeat/") ? inert : wire.stream(url, token)) as EventSource;
  }

  /** The route's outputs. `films` is what its one argument takes: a file, or a list of files. */
  async ask(route: string, films: File | File[], report: Report): Promise<unknown[]> {
    if (!(route in this.api_map)) throw new SpaceUnavailable("not_second_look");
    const sent = await this.#send([films].flat());
    // An app that was replaced since may number its routes differently. An upload binds us to the one that
    // has it; asked in this order, no other can slip in between.
    if (this.#returning && (await this.reconnect()) !== "connected") throw restarted();
    const job = this.submit(`/${route}`, [Array.isArray(films) ? sent : sent[0]]);
    const { signal, over } = this.options.wire;
    // Whoever leaves gives up the place in the queue, also if its number is still on its way.
    const leave = () =>
      void job
        .wait_for_id()
        .then((id) => (id ? job.cancel() : undefined))
        .catch(() => {});
    signal.addEventListener("abort", leave, { once: true, signal: over });
    let answer: unknown[] | undefined;
    for await (const event of job) {
      if (event.type === "data") answer = event.data as unknown[];
      if (event.type !== "status") continue;
      if (event.stage === "error") throw await this.#refusal(event);
      if (event.stage === "complete") break;
      report(standing(event));
    }
    if (!answer) throw restarted();
    return answer;
  }

  /** The picture behind a file that the app answered with. It is deleted there within minutes. */
  async picture(file: { url?: string }): Promise<Blob> {
    const { token } = this.options;
    const response = await this.fetch(file.url!, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
    });
    return response.blob();
  }

  async #send(films: File[]): Promise<FileData[]> {
    const { files } = await this.upload_files(this.config!.root, films);
    if (files?.length !== films.length) throw restarted();
    return films.map(
      (film, index) => new FileData({ path: files[index] as unknown as string, orig_name: film.name }),
    );
  }

  async #refusal({ title, message }: Event & { type: "status" }): Promise<Error> {
    const sentence = typeof message === "string" ? message : "The Space could not answer.";
    if (title && CODE.test(title)) return judged(title, sentence);
    // Not a refusal of ours: the connection, a session that a restart has forgotten, or Gradio's own failure.
    const lives = title && (await this.reconnect()) === "connected";
    return lives ? new Refused("internal_error", sentence) : restarted();
  }
}

const restarted = () => new NotYet("starting", "The Space has restarted.");

function standing({ original_msg, position, size }: Event & { type: "status" }): Parameters<Report>[0] {
  if (original_msg === "process_starts") return { stage: "running" };
  if (position === undefined || size === undefined) return { stage: "queued" };
  return { stage: "queued", position: position + 1, of: Math.max(size, position + 1) };
}

// ---- The five models of a Second Look Space, which may be asleep.

/** For one call, or for all calls of a client. */
export interface CallOptions {
  /** Milliseconds for everything together: waking, queue and answer. Default: five minutes. */
  deadline?: number;
  /** Gives up; the call rejects with the signal's reason, and its place in the queue is free. */
  signal?: AbortSignal;
  /** Told whenever something changes: waking, building, starting, queued 3 of 7, running. */
  onStatus?: (status: Status) => void;
}

export interface Options extends CallOptions {
  /** A Hugging Face token, for a private Space. */
  token?: string;
  /** Where the Hub is. Default: https://huggingface.co. */
  hub?: string;
  fetch?: Fetch;
  /** @internal */
  clock?: Clock;
}

export type ModelName =
  "bone_fracture" | "fracture_detection" | "fracture_type" | "breast_cancer" | "pneumonia";

/** Where on the film the network saw its evidence. */
export interface HeatMap {
  /** The film with the map over it (PNG). */
  picture: Blob;
  /** Where the map peaks, as fractions of the film's width and height, from the left and from the top. */
  peak: [x: number, y: number];
  label: string;
  probability: number;
  meta: Meta;
}

/**
 * A Space by its name (`owner/name`), its page on the Hub, or its own address.
 *
 * Every call rejects with `Refused`, `SpaceUnavailable`, `FilmUnreadable`, `DeadlineExceeded`, or the reason
 * of its signal. A call is tried again, however it broke off, for as long as that can help and the deadline
 * allows; the Space is told that it is the same call, and does not predict again what it has predicted.
 */
export class SecondLook {
  readonly #options: Options;
  readonly #fetch: Fetch;
  readonly #doorbell: Doorbell;
  /** Where the Space was when it last answered; asked straight away, and no Hub, until it fails. */
  #address: string | undefined;
  #known: Known | undefined;

  constructor(space: string, options: Options = {}) {
    this.#options = options;
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
    const hub = (options.hub ?? "https://huggingface.co").replace(/\/+$/, "");
    this.#doorbell = new Doorbell(space, hub, options.token, this.#fetch);
  }

  /** Wake the Space, and resolve once its app answers. Every call does so itself; a page can do it early. */
  wake(options: CallOptions = {}): Promise<void> {
    return this.#call(options, async () => async () => {});
  }

  /** Is there a fracture? */
  boneFracture(film: Film, options?: CallOptions): Promise<BoneFracture> {
    return this.#predict("bone_fracture", film, options);
  }

  /** Is there a fracture? The second reader, an independent network. */
  fractureDetection(film: Film, options?: CallOptions): Promise<FractureDetection> {
    return this.#predict("fracture_detection", film, options);
  }

  /** Fissure (hairline) or complete fracture? `success: 0` if neither is sure enough. */
  fractureType(film: Film, options?: CallOptions): Promise<FractureType> {
    return this.#predict("fracture_type", film, options);
  }

  /** How likely is a malignant lesion on this mammogram? */
  breastCancer(film: Film, options?: CallOptions): Promise<BreastCancer> {
    return this.#predict("breast_cancer", film, options);
  }

  /** Up to ten mammograms, answered in the order sent; a bad one never fails the others. */
  breastCancerBatch(films: Film[], options?: CallOptions): Promise<BreastCancerBatch> {
    return this.#predict("breast_cancer_batch", films, options);
  }

  /** Does this chest film show pneumonia? */
  pneumonia(film: Film, options?: CallOptions): Promise<Pneumonia> {
    return this.#predict("pneumonia", film, options);
  }

  /** The film with the heat map of one model over it, and where the map peaks. */
  heatmap(name: ModelName, film: Film, options: CallOptions = {}): Promise<HeatMap> {
    return this.#call(options, async (signal) => {
      const file = await asFile(film, this.#fetch, signal);
      return async (session, report) => {
        const [picture, about] = await session.ask(`${name}_heatmap`, file, report);
        return {
          picture: await session.picture(picture as { url: string }),
          ...(about as Omit<HeatMap, "picture">),
        };
      };
    });
  }

  #predict<T>(route: string, film: Film | Film[], options: CallOptions = {}): Promise<T> {
    return this.#call(options, async (signal) => {
      if (Array.isArray(film) && !film.length)
        throw new Refused("missing_file", "No file was sent; attach one.");
      const read = (each: Film) => asFile(each, this.#fetch, signal);
      const files = Array.isArray(film) ? await Promise.all(film.map(read)) : await read(film);
      return async (session, report) => (await session.ask(route, files, report))[0] as T;
    });
  }

  /** `prepare` is done once; what it gives is asked of a new session each time, under the same key. */
  #call<T>(
    options: CallOptions,
    prepare: (signal: AbortSignal) => Promise<(session: Session, report: Report) => Promise<T>>,
  ): Promise<T> {
    const {
      token,
      deadline = 300_000,
      signal,
      onStatus,
      clock = realTime,
    } = { ...this.#options, ...options };
    const key = uuid();
    let question: ReturnType<typeof prepare> | undefined;
    return persist({ deadline, signal, onStatus, clock }, async (signal, report) => {
      const ask = await (question ??= prepare(signal));
      const wire = new Wire(signal, key, this.#fetch);
      const answer = async (): Promise<T> => {
        this.#address ??= await this.#doorbell.ring(signal);
        const session = await Session.open(this.#address, wire, token, this.#known);
        this.#known = session.known;
        return ask(session, report);
      };
      try {
        return await Promise.race([wire.lost, answer()]);
      } catch (error) {
        if (!(error instanceof NotYet && error.stage === "queued")) this.#address = this.#known = undefined;
        throw error;
      } finally {
        wire.close();
      }
    });
  }
}

/** A client of a Space that is awake: `new SecondLook(space, options)` and its `wake()`. */
export async function connect(space: string, options: Options = {}): Promise<SecondLook> {
  const client = new SecondLook(space, options);
  await client.wake();
  return client;
}

/** A random UUID (version 4). `crypto.randomUUID` is missing from pages that are not served over HTTPS. */
function uuid(): string {
  const [...bytes] = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// ---- The answers

export type BoneFracture = {
  predicted_label: "fracture" | "normal";
  fracture_probability: number;
  normal_probability: number;
  meta: Meta;
};

export type FractureDetection = {
  prediction: "fractured" | "not fractured";
  confidence: number;
  probabilities: {
    fractured: number;
    "not fractured": number;
  };
  meta: Meta;
};

export type FractureType = {
  confidence: number;
  allProbabilities: {
    class: "fisura" | "fractura";
    probability: number;
  }[];
  meta: Meta;
  success: 1;
  predictedClass: "fisura" | "fractura";
} | {
  confidence: number;
  allProbabilities: {
    class: "fisura" | "fractura";
    probability: number;
  }[];
  meta: Meta;
  success: 0;
  message: string;
};

export type BreastCancer = {
  prediction: "Benign" | "Malignant";
  confidence: number;
  probabilities: {
    benign: number;
    malignant: number;
  };
  risk_assessment: {
    level: "Very High Risk" | "High Risk" | "Moderate-High Risk" | "Moderate Risk" | "Low-Moderate Risk" | "Low Risk" | "Very Low Risk";
    icon: string;
    color: string;
  };
  image_statistics: {
    brightness: number;
    contrast: number;
    mean_intensity: number;
    std_intensity: number;
  };
  image_info: {
    filename: string;
    size: string;
    format: "JPEG" | "PNG" | "WEBP" | "TIFF" | "BMP" | "DICOM";
  };
  disclaimer: string;
  meta: Meta;
};

export type BreastCancerBatch = {
  total_images: number;
  successful: number;
  failed: number;
  summary: {
    benign: number;
    malignant: number;
  };
  results: ({
    filename: string;
    error: string;
  } | {
    prediction: "Benign" | "Malignant";
    confidence: number;
    probabilities: {
      benign: number;
      malignant: number;
    };
    filename: string;
  })[];
};

export type Pneumonia = {
  prediction: "Normal" | "Pneumonia";
  confidence: number;
  probabilities: {
    Normal: number;
    Pneumonia: number;
  };
  meta: Meta;
};

export type Meta = {
  model: string;
  version: string;
  sha256: string;
  threshold: number;
  in_scope: boolean;
  scope_score: number;
  elapsed_ms: number;
  disclaimer: string;
};

/* The Space that answers: "owner/name", or its address. */
const SPACE = "owner/second-look";

const space = new SecondLook(SPACE);

/** What the first service's callers read: is there a fracture? */
export async function classifyImage(film: Film, options?: CallOptions) {
  const raw = await space.boneFracture(film, options);
  return { label: raw.predicted_label, fracture: raw.fracture_probability, normal: raw.normal_probability };
}

type Ask<Name extends keyof SecondLook> = SecondLook[Name];
export const boneFracture: Ask<"boneFracture"> = (...args) => space.boneFracture(...args);
export const fractureDetection: Ask<"fractureDetection"> = (...args) => space.fractureDetection(...args);
export const fractureType: Ask<"fractureType"> = (...args) => space.fractureType(...args);
export const breastCancer: Ask<"breastCancer"> = (...args) => space.breastCancer(...args);
export const breastCancerBatch: Ask<"breastCancerBatch"> = (...args) => space.breastCancerBatch(...args);
export const pneumonia: Ask<"pneumonia"> = (...args) => space.pneumonia(...args);
export const heatmap: Ask<"heatmap"> = (...args) => space.heatmap(...args);
