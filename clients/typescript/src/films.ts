/** A film in whatever form the caller has it, as the file that is sent. */

import { FilmUnreadable } from "./errors.js";
import type { Fetch } from "./wake.js";

/** A picture or DICOM object: a `File`, a `Blob`, bytes (Node's `Buffer` too), or the URL of one. */
export type Film = Blob | Uint8Array | ArrayBuffer | URL | string;

/**
 * The film as a file.
 *
 * A URL is fetched here and not by the Space: the Space can then never be sent to addresses inside its own
 * network, and the caller can name films that only the caller may see (an intranet, a `blob:` of the page).
 */
export async function asFile(film: Film, fetch: Fetch, signal: AbortSignal): Promise<File> {
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
