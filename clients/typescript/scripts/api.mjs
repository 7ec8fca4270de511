// Writes api.ts, the whole package as one file to paste, from src/: its modules in the order in which they
// build on each other, their imports taken out, and the answers' types written out in full.
import { readFileSync, writeFileSync } from "node:fs";
import ts from "typescript";

const MODULES = ["errors", "patience", "wake", "films", "wire", "session", "client"];
const HEAD = `// Ask a Second Look Space about a radiograph, also while it sleeps. Paste this into a front end, name the
// Space at its end, and \`npm install @gradio/client@2.7.0\`. Made from the package second-look-client.

`;
const USE = `
/* The Space that answers: "owner/name", or its address. */
const SPACE = "owner/second-look";

const space = new SecondLook(SPACE);

/** What the first service's callers read: is there a fracture? */
export async function classifyImage(film: Film, options?: CallOptions) {
  const raw = await space.boneFracture(film, options);
  return { label: raw.predicted_label, fracture: raw.fracture_probability, normal: raw.normal_probability };
}

type Ask<Name extends keyof SecondLook> = SecondLook[Name];
export const boneFracture: Ask<"boneFracture"> = (...args) => space.boneFracture(...args);
export const fractureDetection: Ask<"fractureDetection"> = (...args) => space.fractureDetection(...args);
export const fractureType: Ask<"fractureType"> = (...args) => space.fractureType(...args);
export const breastCancer: Ask<"breastCancer"> = (...args) => space.breastCancer(...args);
export const breastCancerBatch: Ask<"breastCancerBatch"> = (...args) => space.breastCancerBatch(...args);
export const pneumonia: Ask<"pneumonia"> = (...args) => space.pneumonia(...args);
export const heatmap: Ask<"heatmap"> = (...args) => space.heatmap(...args);
`;

const source = (name) => new URL(`../src/${name}.ts`, import.meta.url).pathname;
const program = ts.createProgram([source("index")], {
  strict: true,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
});
const checker = program.getTypeChecker();
const printer = ts.createPrinter();

const exported = (name) =>
  checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(source(name))));
const shown = new Set(exported("index").map((symbol) => symbol.name));

/** Each answer's type, written out; `Meta`, which all of them hold, by its name. */
function answers() {
  const written = exported("answers").map((symbol) => {
    const type = checker.getDeclaredTypeOfSymbol(symbol);
    const { NoTruncation, InTypeAlias, MultilineObjectLiterals } = ts.NodeBuilderFlags;
    const flags = NoTruncation | InTypeAlias | MultilineObjectLiterals;
    const node = checker.typeToTypeNode(type, undefined, flags);
    const text = printer.printNode(ts.EmitHint.Unspecified, node, program.getSourceFile(source("answers")));
    return [symbol.name, text.replaceAll("    ", "  ")];
  });
  const meta = written.find(([name]) => name === "Meta")[1];
  const nested = meta.replaceAll("\n", "\n  ");
  const named = ([name, text]) => `export type ${name} = ${text.replaceAll(nested, "Meta")};\n`;
  return written.map(named).join("\n");
}

/** A module without its imports; what the package does not show is not exported either. */
function inlined(name) {
  const file = program.getSourceFile(source(name));
  let text = file.text;
  for (const statement of [...file.statements].reverse()) {
    if (ts.isImportDeclaration(statement)) {
      text = text.slice(0, statement.getStart()) + text.slice(statement.end);
    } else if (ts.getCombinedModifierFlags(statement) & ts.ModifierFlags.Export) {
      const names = statement.declarationList?.declarations ?? [statement];
      const start = statement.getStart();
      if (!names.some((each) => shown.has(each.name.text)))
        text = text.slice(0, start) + text.slice(start + "export ".length);
    }
  }
  return (
    text
      .replace(/^\/\*\* (.*?)\s*\*\//, "// ---- $1")
      .replace(/\n{3,}/g, "\n\n")
      .trim() + "\n\n"
  );
}

const IMPORTS = 'import { Client, FileData } from "@gradio/client";\n\n';
const text = HEAD + IMPORTS + MODULES.map(inlined).join("") + "// ---- The answers\n\n" + answers() + USE;
writeFileSync(new URL("../api.ts", import.meta.url), text);
