/** One try at one answer, over `@gradio/client`: upload, queue, answer. */

import { Client, FileData } from "@gradio/client";
import { NotYet, Refused, SpaceUnavailable } from "./errors.js";
import type { Report } from "./patience.js";
import { judged, type Source, type Wire } from "./wire.js";

type SessionOptions = NonNullable<ConstructorParameters<typeof Client>[1]> & { wire: Wire };
type Event = ReturnType<Client["submit"]> extends AsyncIterable<infer E> ? E : never;

/** What an app says of itself, a quarter of a megabyte: kept from one session to the next. */
export type Known = Pick<Client, "config" | "api_prefix" | "api_info" | "api_map">;

const CODE = /^[a-z]+(_[a-z]+)+$|^busy$/;

export class Session extends Client {
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
