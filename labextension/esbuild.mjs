// Makes the one file of JavaScript and the one of CSS that all notebook panels are, in the Python package.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as esbuild from "esbuild";

const TARGET = "../dlc_jupyter/widgets/static";
const watching = process.argv.includes("--watch");

/** What tells one build from another: panels of the same build share what they know of the server. */
function build() {
  const hash = createHash("sha256");
  for (const name of readdirSync("src", { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .map((each) => join(each.parentPath, each.name))
    .sort())
    hash.update(readFileSync(name));
  return hash.update(readFileSync("package-lock.json")).digest("hex").slice(0, 12);
}

rmSync(TARGET, { recursive: true, force: true });
const options = {
  entryPoints: [{ in: "src/widget/index.tsx", out: "panels" }],
  outdir: TARGET,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: !watching,
  sourcemap: watching ? "inline" : false,
  jsx: "automatic",
  jsxImportSource: "preact",
  define: { BUILD: JSON.stringify(build()) },
  legalComments: "none",
  logLevel: "info",
};
if (watching) {
  await (await esbuild.context(options)).watch();
} else {
  await esbuild.build(options);
}
