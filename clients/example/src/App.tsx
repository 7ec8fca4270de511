import { type DragEvent, useEffect, useRef, useState } from "react";
import type { ModelName } from "second-look-client";
import { Answer } from "./Answer.tsx";
import { MODELS } from "./models.ts";
import { useReading } from "./useReading.ts";
import { Waiting } from "./Waiting.tsx";

export function App() {
  const [address, setAddress] = useState(() => new URLSearchParams(location.search).get("space") ?? "");
  const [model, setModel] = useState<ModelName>("bone_fracture");
  const { asked, ask, cancel } = useReading();
  const result = useRef<HTMLElement>(null);
  const ready = address.trim() !== "" && asked.state !== "waiting";

  useEffect(() => {
    if (asked.state === "answered" || asked.state === "failed") result.current?.focus();
  }, [asked.state]);

  function send(film: File | undefined) {
    if (film && ready) void ask(address.trim(), model, film);
  }

  return (
    <main>
      <header>
        <h1>Second Look</h1>
        <p>Drop a radiograph; a Space on Hugging Face reads it, and is woken first if it sleeps.</p>
        <p className="disclaimer">
          For research and teaching only. Not a medical device; not for diagnosis or for any decision about a
          patient.
        </p>
      </header>

      <form onSubmit={(event) => event.preventDefault()}>
        <label>
          Space
          <input
            value={address}
            onChange={(event) => setAddress(event.target.value)}
            placeholder="owner/name, or its address"
            spellCheck={false}
            autoComplete="off"
          />
        </label>
        <label>
          Question
          <select value={model} onChange={(event) => setModel(event.target.value as ModelName)}>
            {Object.entries(MODELS).map(([name, { title }]) => (
              <option key={name} value={name}>
                {title}
              </option>
            ))}
          </select>
        </label>
        <Drop ready={ready} hint={address.trim() ? "" : "Name the Space first."} onFilm={send} />
      </form>

      <section ref={result} tabIndex={-1} aria-label="Answer" aria-live="polite">
        {asked.state === "nothing" && <p className="nothing">The answer will be here.</p>}
        {asked.state === "waiting" && <Waiting status={asked.status} onCancel={cancel} />}
        {asked.state === "answered" && <Answer {...asked} />}
        {asked.state === "failed" && (
          <p className="failed">
            <strong>No answer.</strong> {asked.sentence}
          </p>
        )}
      </section>
    </main>
  );
}

/** A film, picked or dropped. */
function Drop({ ready, hint, onFilm }: { ready: boolean; hint: string; onFilm: (film?: File) => void }) {
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    onFilm(event.dataTransfer.files[0]);
  };
  const hover = (event: DragEvent) => {
    event.preventDefault();
    setOver(ready);
  };
  return (
    <label
      className={over ? "drop over" : "drop"}
      onDrop={drop}
      onDragOver={hover}
      onDragLeave={() => setOver(false)}
    >
      <span>Drop a film here, or choose one</span>
      <small>{hint || "JPEG, PNG, WebP, TIFF, BMP or DICOM, up to 20 MB"}</small>
      <input
        type="file"
        disabled={!ready}
        onChange={(event) => {
          onFilm(event.target.files?.[0]);
          event.target.value = ""; // so that the same film can be sent again
        }}
      />
    </label>
  );
}
