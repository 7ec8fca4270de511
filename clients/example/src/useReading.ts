/** One film at a time: asked about, waited for, answered or not. */

import { useRef, useState } from "react";
import { type ModelName, SecondLook, type Status } from "second-look-client";
import { MODELS, type Reading } from "./models.ts";

export type Asked =
  | { state: "nothing" }
  | { state: "waiting"; film: File; status?: Status }
  | { state: "answered"; film: File; reading: Reading; picture?: string | null; peak?: [number, number] }
  | { state: "failed"; film: File; sentence: string };

export function useReading() {
  const [asked, setAsked] = useState<Asked>({ state: "nothing" });
  const leaving = useRef<AbortController>(null);
  const client = useRef<{ space: string; ask: SecondLook }>(null);

  async function ask(address: string, name: ModelName, film: File) {
    leaving.current?.abort();
    const { signal } = (leaving.current = new AbortController());
    const show = (next: Asked) => signal.aborted || setAsked(next);
    show({ state: "waiting", film });
    try {
      if (client.current?.space !== address)
        client.current = { space: address, ask: new SecondLook(address, hub()) };
      const space = client.current.ask;
      const onStatus = (status: Status) => show({ state: "waiting", film, status });
      const reading = await MODELS[name].ask(space, film, { signal, onStatus });
      show({ state: "answered", film, reading });
      // A film that the model does not read has an answer from fracture_type, and no map.
      const map = await space.heatmap(name, film, { signal }).catch(() => undefined);
      if (!map) show({ state: "answered", film, reading, picture: null });
      else
        show({ state: "answered", film, reading, picture: URL.createObjectURL(map.picture), peak: map.peak });
    } catch (error) {
      show({ state: "failed", film, sentence: error instanceof Error ? error.message : String(error) });
    }
  }

  function cancel() {
    leaving.current?.abort();
    setAsked({ state: "nothing" });
  }

  return { asked, ask, cancel };
}

/** Another Hub than Hugging Face's own, for tests: `?hub=`. */
function hub(): { hub?: string } {
  const named = new URLSearchParams(location.search).get("hub");
  return named ? { hub: named } : {};
}
