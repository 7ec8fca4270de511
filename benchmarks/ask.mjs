// A caller with @gradio/client, connected once; each line on standard input makes it ask for the film again.
//   node ask.mjs ADDRESS ROUTE FILM
// Its first line says that it is connected; each one after that is an answer.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Client, handle_file } from "@gradio/client";

const [address, route, path] = process.argv.slice(2);
const film = new File([await readFile(path)], "film.jpg");
const client = await Client.connect(address);
console.log("{}");
for await (const _ of createInterface({ input: process.stdin })) {
  const { data } = await client.predict(route, [handle_file(film)]);
  console.log(JSON.stringify(data[0]));
}
process.exit(0); // the client keeps a connection open
