import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { NotYet, Refused, SpaceUnavailable } from "../src/errors.js";
import type { Fetch } from "../src/wake.js";
import { Wire } from "../src/wire.js";

const SPACE = "https://someone-second-look.hf.example/gradio_api";
const hang: Fetch = () => new Promise(() => {});
const told = (event: object) => `data: ${JSON.stringify(event)}\n\n`;

const open: Wire[] = [];

/** A wire over a network that answers like this. */
function wireOver(fetch: Fetch): Wire {
  const wire = new Wire(new AbortController().signal, "key", fetch);
  open.push(wire);
  return wire;
}

afterEach(() => {
  mock.timers.reset();
  open.splice(0).forEach((wire) => wire.close());
});

/** Everything that is waiting for nothing but its turn gets it. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** What ends a try at the stream, whose messages are these; `say` sends more of them, and null ends it. */
function streaming(...pieces: string[]) {
  let say!: (piece: string | null) => void;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      say = (piece) =>
        piece === null ? controller.close() : controller.enqueue(new TextEncoder().encode(piece));
      pieces.forEach(say);
    },
  });
  const wire = wireOver(async () => new Response(body));
  const heard: unknown[] = [];
  const source = wire.stream(new URL(`${SPACE}/queue/data`), undefined);
  source.onmessage = ({ data }) => heard.push(JSON.parse(data));
  let lost: unknown = "not lost";
  wire.lost.catch((error: unknown) => (lost = error));
  return { heard, say, lost: () => lost };
}

test("messages are heard however they are cut up", async () => {
  const { heard, lost } = streaming(
    'data: {"msg":"esti',
    'mation"}\r\n\r\ndata: {"msg":"heartbeat"}\n\nevent: x\n\n',
  );
  await settle();
  assert.deepEqual(heard, [{ msg: "estimation" }, { msg: "heartbeat" }]);
  assert.equal(lost(), "not lost");
});

test("a stream that ends without an answer, and without a word, is lost", async () => {
  const { say, lost } = streaming(told({ msg: "estimation" }));
  say(null);
  await settle();
  assert.ok(lost() instanceof NotYet);
});

test("one that ends after the answer is not", async () => {
  const { heard, say, lost } = streaming(told({ msg: "process_completed" }), told({ msg: "close_stream" }));
  say(null);
  await settle();
  assert.equal(heard.length, 2);
  assert.equal(lost(), "not lost");
});

test("a stream that is silent for a minute is lost; a heartbeat is enough to live", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { say, lost } = streaming(told({ msg: "estimation" }));
  await settle();
  for (let n = 0; n < 3; n++) {
    mock.timers.tick(59_000);
    say(told({ msg: "heartbeat" }));
    await settle();
  }
  assert.equal(lost(), "not lost");
  mock.timers.tick(60_000);
  await settle();
  assert.ok(lost() instanceof NotYet);
});

test("a request that nobody answers within a minute is lost, an upload is not", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  for (const [path, expected] of [
    ["/config", true],
    ["/upload", false],
  ] as const) {
    const wire = wireOver(hang);
    let lost = false;
    wire.lost.catch(() => (lost = true));
    void wire.fetch(SPACE + path);
    mock.timers.tick(60_000);
    await settle();
    assert.equal(lost, expected, path);
  }
});

test("only the queue is told the key, and the page's own query stays with the page", async () => {
  const sent: [string, string | null][] = [];
  const wire = wireOver(async (input, init) => {
    sent.push([String(input), new Headers(init?.headers).get("Idempotency-Key")]);
    return Response.json({});
  });
  await wire.fetch(`${SPACE}/queue/join?patient=1`, { method: "POST" });
  await wire.fetch(`${SPACE}/app_id`);
  assert.deepEqual(sent, [
    [`${SPACE}/queue/join`, "key"],
    [`${SPACE}/app_id`, null],
  ]);
});

test("what a response means", async () => {
  const meaning = async (path: string, body: BodyInit, init: ResponseInit) => {
    const wire = wireOver(async () => new Response(body, init));
    void wire.fetch(SPACE + path).catch(() => {});
    return wire.lost.catch(
      (error: unknown) => error as Error & { code?: string; kind?: string; stage?: string },
    );
  };
  const says = (code: string) => JSON.stringify({ code, detail: "A sentence." });
  const json = (status: number) => ({
    status,
    headers: { "Content-Type": "application/json", "Retry-After": "2" },
  });
  const html = (status: number) => ({ status, headers: { "Content-Type": "text/html; charset=utf-8" } });

  const busy = await meaning("/queue/join", says("busy"), json(503));
  assert.ok(busy instanceof NotYet && busy.stage === "queued" && busy.retryAfter === 2_000);
  const large = await meaning("/upload", says("file_too_large"), json(413));
  assert.ok(large instanceof Refused && large.code === "file_too_large" && large.message === "A sentence.");
  for (const status of [408, 429, 502, 503, 504])
    assert.ok((await meaning("/config", "<p>", html(status))) instanceof NotYet);
  // What was there a moment ago and is gone belongs to an app that has restarted.
  for (const path of ["/queue/data", "/file=map.png"])
    assert.ok((await meaning(path, "", json(404))) instanceof NotYet);
  const other = await meaning("/config", "<!doctype html>", html(200));
  assert.ok(other instanceof SpaceUnavailable && other.kind === "not_second_look");
  assert.equal((await meaning("/queue/join", "{}", json(422))).code, "bad_request");
  assert.equal((await meaning("/queue/join", "", json(500))).code, "internal_error");
});
