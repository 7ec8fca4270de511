import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../src/index.js";
import { counted, film, SPACE } from "./space.js";

test("a Space that sleeps, in real time: its app starts when somebody knocks", async () => {
  const stages: string[] = [];
  const space = await connect(SPACE.id, { hub: SPACE.hub, onStatus: ({ stage }) => stages.push(stage) });
  const answer = await space.boneFracture(await film("limb"));
  assert.equal(answer.meta.model, "bone_fracture");
  assert.equal(stages[0], "waking");
  assert.equal(stages.at(-1), "running");
  assert.deepEqual(await counted("bone_fracture"), { predicted: 1, repeated: 0 });
});
