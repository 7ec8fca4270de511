// What the first seed's front end does: connect, predict with a file, read data[0]. Prints it as JSON.
//   node ask.mjs ADDRESS ROUTE FILE...      (several files: the route's argument is a list)
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { Client, handle_file } from "@gradio/client";

const [address, route, ...paths] = process.argv.slice(2);
const files = await Promise.all(
  paths.map(async (path) => handle_file(new File([await readFile(path)], basename(path)))),
);
const client = await Client.connect(address);
try {
  const { data } = await client.predict(route, [route.endsWith("_batch") ? files : (files[0] ?? null)]);
  console.log(JSON.stringify({ data }));
} catch (error) {
  console.log(JSON.stringify({ error: error.message }));
}
process.exit(0); // the client keeps a connection open
