/** Every request to the Space of one try, watched: the first thing that goes wrong ends the try. */

import { NotYet, Refused, SpaceUnavailable } from "./errors.js";
import { type Fetch, retryAfter } from "./wake.js";

const SILENCE = 60_000;
const LOST = "The connection to the Space was lost.";

export interface Source {
  onmessage: ((message: { data: string }) => void) | null;
  onerror: ((error: unknown) => void) | null;
}

/**
 * `@gradio/client` turns most of what can go wrong into a message, or into nothing at all: an upload that
 * fails is sent as no file, and a stream that ends early is waited for without end. So we look ourselves.
 */
export class Wire {
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
export function judged(code: string, sentence: string, wait = 0): Error {
  if (code === "busy") return new NotYet("queued", sentence, wait);
  // A film was sent. If there is none, it was swept away while it waited, or the app has restarted.
  if (code === "model_loading" || code === "missing_file") return new NotYet("starting", sentence, wait);
  return new Refused(code, sentence);
}
