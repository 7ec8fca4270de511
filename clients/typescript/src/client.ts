/** The five models of a Second Look Space, which may be asleep. */

import type {
  BoneFracture,
  BreastCancer,
  BreastCancerBatch,
  FractureDetection,
  FractureType,
  Meta,
  Pneumonia,
} from "./answers.js";
import { NotYet, Refused } from "./errors.js";
import { asFile, type Film } from "./films.js";
import { type Clock, persist, realTime, type Report, type Status } from "./patience.js";
import { type Known, Session } from "./session.js";
import { Doorbell, type Fetch } from "./wake.js";
import { Wire } from "./wire.js";

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
