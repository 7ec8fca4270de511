import assert from "node:assert/strict";
import { test } from "node:test";
import { NotYet, SpaceUnavailable } from "../src/errors.js";
import { Doorbell, retryAfter } from "../src/wake.js";

const HUB = "https://hub.example";
const HOST = "https://someone-second-look.hf.example";
const never = new AbortController().signal;

/** A Hub that says `stage`, or answers with an HTTP status; and what was asked of anybody. */
function hub(stage: string | number) {
  const asked: string[] = [];
  const fetch = async (input: string | URL | Request) => {
    asked.push(String(input));
    if (typeof stage === "number")
      return new Response("<html>", { status: stage, headers: { "Retry-After": "7" } });
    return Response.json(String(input).endsWith("/host") ? { host: HOST } : { runtime: { stage } });
  };
  const ring = (space = "someone/second-look") => new Doorbell(space, HUB, "hf_x", fetch).ring(never);
  return { asked, ring };
}

for (const stage of ["RUNNING", "RUNNING_BUILDING", "SOME_NEW_STAGE"]) {
  test(`${stage}: goes on to the app`, async () => assert.equal(await hub(stage).ring(), HOST));
}

for (const [stage, as] of Object.entries({
  SLEEPING: "waking",
  BUILDING: "building",
  APP_STARTING: "starting",
  RUNNING_APP_STARTING: "starting",
})) {
  test(`${stage}: ${as}, and only a sleeping Space is knocked at`, async () => {
    const { asked, ring } = hub(stage);
    await assert.rejects(ring(), (error) => error instanceof NotYet && error.stage === as);
    assert.equal(asked.includes(HOST), stage === "SLEEPING");
  });
}

for (const [stage, kind] of Object.entries({
  PAUSED: "paused",
  STOPPED: "paused",
  RUNTIME_ERROR: "broken",
  BUILD_ERROR: "broken",
  CONFIG_ERROR: "broken",
  NO_APP_FILE: "broken",
  DELETING: "not_found",
  404: "not_found",
  401: "private",
  403: "private",
})) {
  test(`${stage}: ${kind}, for good`, async () => {
    const { ring } = hub(Number(stage) || stage);
    await assert.rejects(ring(), (error) => error instanceof SpaceUnavailable && error.kind === kind);
  });
}

for (const status of [429, 500, 503]) {
  test(`a Hub that answers ${status} is asked again`, async () => {
    await assert.rejects(
      hub(status).ring(),
      (error) => error instanceof NotYet && error.retryAfter === 7_000,
    );
  });
}

test("a Hub that cannot be reached, or speaks no JSON, is asked again", async () => {
  for (const fetch of [
    () => Promise.reject(new TypeError("fetch failed")),
    async () => new Response("<html>"),
  ]) {
    await assert.rejects(new Doorbell("a/b", HUB, undefined, fetch).ring(never), NotYet);
  }
});

test("a Space is named by its id, its page on the Hub, or its address, which asks no Hub", async () => {
  for (const name of ["someone/second-look", ` ${HUB}/spaces/someone/second-look/ `]) {
    const { asked, ring } = hub("RUNNING");
    assert.equal(await ring(name), HOST);
    assert.deepEqual(
      asked,
      ["/host", ""].map((path) => `${HUB}/api/spaces/someone/second-look${path}`),
    );
  }
  const { asked, ring } = hub("PAUSED");
  assert.equal(await ring("http://127.0.0.1:7860/?tab=1"), "http://127.0.0.1:7860");
  assert.deepEqual(asked, []);
  assert.throws(() => ring("second look"), SpaceUnavailable);
});

test("Retry-After is seconds or a date", () => {
  const after = (value: string) => retryAfter(new Response(null, { headers: { "Retry-After": value } }));
  assert.equal(after("3"), 3_000);
  assert.ok(Math.abs(after(new Date(Date.now() + 10_000).toUTCString()) - 10_000) < 1_500);
  assert.deepEqual([after("soon"), after("-1"), retryAfter(new Response())], [0, 0, 0]);
});
