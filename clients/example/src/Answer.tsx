import { type CSSProperties, useEffect } from "react";
import type { Reading } from "./models.ts";

interface Props {
  film: File;
  reading: Reading;
  /** Not there yet, or (null) not to be had. */
  picture?: string | null;
  peak?: [number, number];
}

export function Answer({ film, reading, picture, peak }: Props) {
  const { headline, of, probability, threshold } = reading;
  useEffect(() => () => (picture ? URL.revokeObjectURL(picture) : undefined), [picture]);
  // Two figures that differ are printed so that they do.
  const alike = probability !== threshold && probability.toFixed(2) === threshold.toFixed(2);
  const digits = alike ? 4 : 2;
  const at = peak && `, brightest ${percent(peak[0])} from the left and ${percent(peak[1])} from the top`;
  return (
    <article>
      <div>
        <h2>{headline}</h2>
        <p className="figure">
          Probability of {of}: <strong>{probability.toFixed(digits)}</strong>
        </p>
        <div className="scale" style={{ "--at": `${threshold * 100}%` } as CSSProperties}>
          <meter min={0} max={1} value={probability} aria-label={`Probability of ${of}`} />
        </div>
        <p>Decided at a threshold of {threshold.toFixed(digits)}, the mark on the scale.</p>
        <p className="name">{film.name}</p>
      </div>
      {picture && <img src={picture} alt={`The film with its heat map${at}`} />}
      {!picture && (
        <p className="nothing">
          {picture === null ? "There is no heat map for this film." : "The heat map is on its way."}
        </p>
      )}
    </article>
  );
}

const percent = (fraction: number) => `${Math.round(fraction * 100)} %`;
