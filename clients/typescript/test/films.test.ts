import assert from "node:assert/strict";
import { test } from "node:test";
import { FilmUnreadable } from "../src/errors.js";
import { asFile, type Film } from "../src/films.js";

const never = new AbortController().signal;
const read = async (film: Film, fetcher: typeof fetch = fetch) => {
  const file = await asFile(film, fetcher, never);
  return [file.name, await file.text()];
};
const web = (async () => new Response("pixels")) as typeof fetch;

test("a film may be a file, a blob, bytes or a URL", async () => {
  assert.deepEqual(await read(new File(["pixels"], "hand.png")), ["hand.png", "pixels"]);
  assert.deepEqual(await read(new Blob(["pixels"])), ["film", "pixels"]);
  assert.deepEqual(await read(Buffer.from("pixels")), ["film", "pixels"]);
  assert.deepEqual(await read(Buffer.from("two pixels").subarray(4)), ["film", "pixels"]);
  assert.deepEqual(await read(new URL("https://archive.example/1/hand.png?key=1"), web), [
    "hand.png",
    "pixels",
  ]);
  assert.deepEqual(await read("data:image/png;base64,cGl4ZWxz"), ["film", "pixels"]);
});

test("one that cannot be fetched says so, and does not name its address", async () => {
  const gone = (async () => new Response("", { status: 404 })) as typeof fetch;
  const lost = (async () => Promise.reject(new TypeError("fetch failed"))) as typeof fetch;
  for (const [film, fetcher] of [
    ["https://archive.example/doe.png", gone],
    ["https://archive.example/doe.png", lost],
    ["doe.png", web],
  ] as const) {
    await assert.rejects(
      read(film, fetcher),
      (error) => error instanceof FilmUnreadable && !error.message.includes("doe"),
    );
  }
});
