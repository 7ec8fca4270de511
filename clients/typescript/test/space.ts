/** The Space that these tests ask: tests/clients/sleeping.py, which pytest has started. */

import { readFile } from "node:fs/promises";

export const SPACE = JSON.parse(process.env["SPACE"] ?? "{}") as {
  hub: string;
  space: string;
  id: string;
  control: string;
};
const FILMS = JSON.parse(process.env["FILMS"] ?? "{}") as Record<"limb" | "chest" | "mammogram", string>;

export async function film(kind: keyof typeof FILMS): Promise<File> {
  return new File([await readFile(FILMS[kind])], `${kind}.png`);
}

/** Change how the Space behaves; see sleeping.py. */
export async function tell(order: object): Promise<void> {
  const response = await fetch(SPACE.control, { method: "POST", body: JSON.stringify(order) });
  if (!response.ok) throw new Error(`the stand-in did not understand: ${await response.text()}`);
}

interface Told {
  requests: { method: string; path: string; key: string | null; status: number | string | null }[];
  app: string | null;
}

export async function told(): Promise<Told> {
  return (await (await fetch(SPACE.control)).json()) as Told;
}

/** The app's own answer, asked for over REST, without any client; `elapsed_ms` is of the moment. */
export async function expected(film: File, model = "bone_fracture"): Promise<object> {
  const body = new FormData();
  body.append("file", film);
  const response = await fetch(`${(await told()).app}/api/${model}/predict`, { method: "POST", body });
  return timeless((await response.json()) as { meta: object });
}

export function timeless<T extends { meta: object }>(answer: T): T {
  return { ...answer, meta: { ...answer.meta, elapsed_ms: 0 } };
}

/** How many films of one model the app has predicted, and how often it repeated an answer. */
export async function counted(model: string): Promise<{ predicted: number; repeated: number }> {
  const text = await (await fetch(`${(await told()).app}/metrics`)).text();
  const sum = (series: string) =>
    [...text.matchAll(new RegExp(`^second_look_${series}_total\\{([^}]*)\\} (\\S+)$`, "gm"))]
      .filter(([, labels]) => labels!.includes(`model="${model}"`) && labels!.includes('door="gradio"'))
      .reduce((total, [, , value]) => total + Number(value), 0);
  return { predicted: sum("predictions"), repeated: sum("repeated_answers") };
}
