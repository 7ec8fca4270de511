import assert from "node:assert/strict";
import { test } from "node:test";
import { DeadlineExceeded, NotYet, Refused } from "../src/errors.js";
import { backoff, persist, realTime, type Status } from "../src/patience.js";
import { FakeClock } from "./clock.js";

const asleep = (retryAfter = 0) => new NotYet("waking", "The Space is asleep.", retryAfter);

/** Fails n times with `error`, and then answers. */
function failing(n: number, error: () => Error): () => Promise<string> {
  return async () => {
    if (n-- > 0) throw error();
    return "answer";
  };
}

test("waits double from try to try, to 15 seconds, and chance takes any part of that", () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 60].map((n) => backoff(n, 0, () => 1)),
    [1, 2, 4, 8, 15, 15, 15].map((s) => s * 1000),
  );
  assert.equal(
    backoff(3, 0, () => 0.25),
    2_000,
  );
  assert.equal(
    backoff(0, 7_000, () => 1),
    7_000,
  );
  assert.equal(
    backoff(3, 2_000, () => 1),
    8_000,
  );
});

test("goes on while it may pass, and says how it stands", async () => {
  const clock = new FakeClock();
  const said: Status[] = [];
  const onStatus = (status: Status) => said.push(status);
  assert.equal(await persist({ deadline: 300_000, clock, onStatus }, failing(2, asleep)), "answer");
  assert.deepEqual(clock.slept, [999, 1_998]);
  assert.deepEqual(said, [
    { stage: "waking", text: "waking", attempt: 1, retryInMs: 999 },
    { stage: "waking", text: "waking", attempt: 2, retryInMs: 1_998 },
  ]);
});

test("tells the place in the queue, and nothing twice", async () => {
  const said: string[] = [];
  await persist(
    { deadline: 1_000, clock: new FakeClock(), onStatus: ({ text }) => said.push(text) },
    async (_, report) => {
      report({ stage: "queued", position: 3, of: 7 });
      report({ stage: "queued", position: 3, of: 7 });
      report({ stage: "running" });
    },
  );
  assert.deepEqual(said, ["queued 3 of 7", "running"]);
});

test("stops at once at what will not pass", async () => {
  const clock = new FakeClock();
  const refusal = new Refused("out_of_scope", "No chest film.");
  await assert.rejects(
    persist(
      { deadline: 300_000, clock },
      failing(1, () => refusal),
    ),
    refusal,
  );
  assert.deepEqual(clock.slept, []);
});

test("one deadline covers all tries", async () => {
  const clock = new FakeClock();
  const call = persist({ deadline: 60_000, clock }, failing(1_000, asleep));
  await assert.rejects(call, new DeadlineExceeded(60_000, asleep()));
  assert.equal(clock.time, 60_000);
});

test("does not wait for what comes after the deadline", async () => {
  const clock = new FakeClock();
  await assert.rejects(
    persist(
      { deadline: 60_000, clock },
      failing(1, () => asleep(60_000)),
    ),
    DeadlineExceeded,
  );
  assert.equal(clock.time, 0);
});

test("a try that hangs ends with the deadline, and its signal says so", async () => {
  let ended = false;
  const hang = (signal: AbortSignal) =>
    new Promise<never>((_, reject) =>
      signal.addEventListener("abort", () => ((ended = true), reject(signal.reason))),
    );
  await assert.rejects(persist({ deadline: 30, clock: realTime }, hang), DeadlineExceeded);
  assert.ok(ended);
});

test("whoever leaves gets their own reason, during a try and between two", async () => {
  for (const fails of [0, 1]) {
    const leaving = new AbortController();
    const reason = new Error("I have seen enough");
    setTimeout(() => leaving.abort(reason), 10);
    let n = fails;
    const call = persist(
      { deadline: 5_000, clock: { ...realTime, random: () => 1 }, signal: leaving.signal },
      (signal) => {
        if (n-- > 0) throw asleep();
        return new Promise((_, reject) =>
          signal.addEventListener("abort", () => reject(new Error("some other"))),
        );
      },
    );
    await assert.rejects(call, reason);
  }
});
