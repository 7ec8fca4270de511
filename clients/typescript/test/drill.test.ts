/** Everything that a Space on the Hub puts a caller through: one right answer each, and one prediction. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as pasted from "../api.js";
import * as module from "../src/index.js";
import type { Status } from "../src/index.js";
import { FakeClock } from "./clock.js";
import { counted, expected, film, SPACE, tell, timeless, told } from "./space.js";

const limb = await film("limb");
const AWAKE = [{ sleep: true, late: 0 }, { stage: "RUNNING" }];

for (const [name, kit] of [
  ["the package", module],
  ["api.ts", pasted],
] as const) {
  const client = (about: object = {}) =>
    new kit.SecondLook(SPACE.id, { hub: SPACE.hub, clock: new FakeClock(), ...about });

  /** Ask for one film, with what the caller was told meanwhile. */
  async function ask(orders: object[], space = client()) {
    for (const order of orders) await tell(order);
    const before = await counted("bone_fracture");
    const said: Status[] = [];
    const answer = await space.boneFracture(limb, { onStatus: (status) => said.push(status) });
    assert.deepEqual(timeless(answer), await expected(limb));
    const stages = said.map(({ stage }) => stage).filter((stage, n, all) => stage !== all[n - 1]);
    return { answer, before, stages, said };
  }

  describe(name, () => {
    test("a Space that sleeps, is built and starts", async () => {
      const { stages, before } = await ask([{ sleep: true, build: true, after: 2 }]);
      assert.deepEqual(stages, ["waking", "building", "starting", "queued", "running"]);
      assert.equal((await counted("bone_fracture")).predicted, before.predicted + 1);
    });

    test("its plain address, which has no Hub to ask", async () => {
      const { stages } = await ask(
        [{ sleep: true }],
        new kit.SecondLook(SPACE.space, { clock: new FakeClock() }),
      );
      assert.deepEqual(stages, ["starting", "queued", "running"]);
    });

    const passing: [string, object][] = [
      ["429 with Retry-After", { status: 429, retry_after: 40, times: 2 }],
      ["502", { status: 502, times: 2 }],
      ["503 with a page", { status: 503, times: 2 }],
      ["504", { status: 504, times: 2 }],
      ["a full queue", { queue_full: 2 }],
      ["a connection cut at the upload", { cut: "upload" }],
      ["a connection cut before the film is queued", { cut: "join" }],
      ["a connection cut after the film was queued", { cut: "joined" }],
      ["a stream cut on its way", { cut: "stream" }],
      ["a stream cut once the answer was there", { cut: "answer" }],
    ];
    for (const [what, order] of passing) {
      test(what, async () => {
        const { before, said } = await ask([...AWAKE, order]);
        const after = await counted("bone_fracture");
        assert.equal(after.predicted, before.predicted + 1);
        if (what.includes("was")) assert.equal(after.repeated, before.repeated + 1);
        const retries = said.filter(({ retryInMs }) => retryInMs !== undefined);
        assert.equal(retries.length, "times" in order || "queue_full" in order ? 2 : 1);
        if ("retry_after" in order) assert.ok(retries.every(({ retryInMs }) => retryInMs! >= 40_000));
        const keys = (await told()).requests
          .filter(({ path }) => path.endsWith("/queue/join"))
          .map(({ key }) => key);
        assert.equal(new Set(keys).size, 1);
        assert.match(keys[0]!, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      });
    }

    test("a second call goes straight to the app, and does not fetch again what it knows", async () => {
      const space = client();
      await ask(AWAKE, space);
      await tell({ sleep: true, late: 0 });
      await tell({ stage: "RUNNING" });
      await space.boneFracture(limb);
      const paths = (await told()).requests.map(({ path }) => path.replace("/gradio_api", ""));
      assert.deepEqual(paths, ["/upload", "/app_id", "/queue/join", "/queue/data"]);
    });

    for (const [stage, kind] of [
      ["PAUSED", "paused"],
      ["RUNTIME_ERROR", "broken"],
      ["BUILD_ERROR", "broken"],
    ] as const) {
      test(`${stage}: at once, and for good`, async () => {
        await tell({ stage });
        const clock = new FakeClock();
        const call = client({ clock }).boneFracture(limb);
        await assert.rejects(call, (error) => error instanceof kit.SpaceUnavailable && error.kind === kind);
        assert.deepEqual(clock.slept, []);
      });
    }

    test("a Space that nobody knows", async () => {
      const call = kit.connect("someone/else", { hub: SPACE.hub });
      await assert.rejects(
        call,
        (error) => error instanceof kit.SpaceUnavailable && error.kind === "private",
      );
    });

    for (const [status, right] of [
      [400, (error: unknown) => error instanceof kit.Refused && error.code === "bad_request"],
      [403, (error: unknown) => error instanceof kit.SpaceUnavailable && error.kind === "private"],
      [404, (error: unknown) => error instanceof kit.SpaceUnavailable && error.kind === "not_found"],
      [413, (error: unknown) => error instanceof kit.Refused && error.code === "bad_request"],
    ] as const) {
      test(`HTTP ${status}: at once, and for good`, async () => {
        for (const order of [...AWAKE, { status }]) await tell(order);
        const clock = new FakeClock();
        await assert.rejects(client({ clock }).boneFracture(limb), right);
        assert.deepEqual(clock.slept, []);
      });
    }

    test("a film that is refused: once, with the code of the refusal", async () => {
      for (const order of AWAKE) await tell(order);
      const clock = new FakeClock();
      const letter = new File(["Dear colleague"], "letter.txt");
      const space = client({ clock });
      for (const [call, code] of [
        [() => space.pneumonia(limb), "out_of_scope"],
        [() => space.pneumonia(letter), "unsupported_image"],
        [() => space.breastCancerBatch([]), "missing_file"],
        [() => space.breastCancerBatch(Array.from({ length: 11 }, () => letter)), "too_many_files"],
      ] as const) {
        await assert.rejects(
          call(),
          (error) => error instanceof kit.Refused && error.code === code && /\.$/.test(error.message),
        );
      }
      assert.deepEqual(clock.slept, []);
    });

    test("one deadline over everything", async () => {
      await tell({ stage: "APP_STARTING" });
      const clock = new FakeClock();
      const call = client({ clock, deadline: 90_000 }).boneFracture(limb);
      await assert.rejects(
        call,
        (error) => error instanceof kit.DeadlineExceeded && /90 seconds.*starting/.test(error.message),
      );
      assert.equal(clock.time, 90_000);
    });

    for (const stage of ["waking", "running"] as const) {
      test(`whoever leaves while it is ${stage} is let go`, async () => {
        for (const order of stage === "waking" ? [{ sleep: true, after: 1_000 }] : AWAKE) await tell(order);
        const leaving = new AbortController();
        const onStatus = (status: Status) => status.stage === stage && leaving.abort();
        const call = client().boneFracture(limb, { signal: leaving.signal, onStatus });
        await assert.rejects(call, { name: "AbortError" });
      });
    }

    test("every model, and a heat map", async () => {
      for (const order of AWAKE) await tell(order);
      const space = await kit.connect(SPACE.id, { hub: SPACE.hub });
      const [chest, mammogram] = [await film("chest"), await film("mammogram")];
      assert.ok((await space.fractureDetection(limb)).confidence >= 0);
      assert.equal((await space.fractureType(limb)).allProbabilities.length, 2);
      assert.equal((await space.breastCancer(mammogram)).image_info.filename, "mammogram.png");
      assert.ok(["Normal", "Pneumonia"].includes((await space.pneumonia(chest)).prediction));
      const batch = await space.breastCancerBatch([mammogram, limb]);
      assert.deepEqual(
        batch.results.map((row) => [row.filename, "error" in row]),
        [
          ["mammogram.png", false],
          ["limb.png", true],
        ],
      );
      const { picture, peak, meta } = await space.heatmap("pneumonia", chest);
      assert.deepEqual([...new Uint8Array(await picture.arrayBuffer()).slice(1, 4)], [...Buffer.from("PNG")]);
      assert.equal(peak.length, 2);
      assert.equal(meta.model, "pneumonia");
    });

    // These take long, and another test holds api.ts to be the package in one file.
    if (kit !== module) return;

    test("an app that restarts while the film is queued", async () => {
      await ask([...AWAKE, { cut: "stream", restart: true }]);
      assert.deepEqual(await counted("bone_fracture"), { predicted: 1, repeated: 0 });
    });

    test("whoever leaves the queue is not predicted", async () => {
      for (const order of AWAKE) await tell(order);
      const mammogram = await film("mammogram");
      const crowd: Promise<module.BreastCancerBatch>[] = [];
      await new Promise<void>((crowded) => {
        const onStatus = ({ position = 0 }: Status) => position >= 4 && crowded();
        const films = Array.from({ length: 10 }, () => mammogram);
        for (let n = 0; n < 8; n++) crowd.push(client().breastCancerBatch(films, { onStatus }));
      });
      const before = await counted("bone_fracture");
      // With its place in the queue told, and while the queue is still being asked for one.
      for (const placed of [true, false]) {
        const leaving = new AbortController();
        const onStatus = ({ stage, position }: Status) =>
          stage === "queued" && (position !== undefined) === placed && leaving.abort();
        const call = client().boneFracture(limb, { signal: leaving.signal, onStatus });
        await assert.rejects(call, { name: "AbortError" });
      }
      for (const batch of await Promise.all(crowd)) assert.equal(batch.successful, 10);
      assert.deepEqual(await counted("bone_fracture"), before);
    });
  });
}

test("an app that has restarted between two calls of one client", async () => {
  for (const order of AWAKE) await tell(order);
  const space = new module.SecondLook(SPACE.id, { hub: SPACE.hub, clock: new FakeClock() });
  await space.boneFracture(limb);
  await tell({ restart: true });
  assert.equal((await space.boneFracture(limb)).meta.model, "bone_fracture");
  assert.deepEqual(await counted("bone_fracture"), { predicted: 1, repeated: 0 });
});

test("classifyImage, as the first service's callers read it", async () => {
  for (const order of AWAKE) await tell(order);
  const { label, fracture, normal } = await pasted.classifyImage(limb);
  assert.equal(label === "normal" || label === "fracture", true);
  assert.ok(Math.abs(fracture + normal - 1) < 1e-9);
});
