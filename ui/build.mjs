// Bundles each entry of `src/` into `dist/`, under a name that carries a hash of its content, so that browsers may keep it
// for ever. Beside each file lies its Brotli form; `dist/manifest.txt` says which name stands for which entry, one a line:
//     chat.js chat-3F2A….js
// To add a page's script or style: a file in `src/`, and its line in `entries`.
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { build } from "esbuild";

const entries = ["src/chat.ts", "src/chat.css", "src/dashboard.ts", "src/dashboard.css", "src/status.ts", "src/status.css"];

await rm("dist", { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: entries,
  outdir: "dist",
  entryNames: "[name]-[hash]",
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome123", "firefox125", "safari17.5"],
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

const lines = Object.entries(metafile.outputs).map(([path, output]) => {
  const entry = basename(output.entryPoint).replace(/\.ts$/, ".js");
  return `${entry} ${basename(path)}`;
});
for (const name of await readdir("dist")) {
  const bytes = await readFile(`dist/${name}`);
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  const packed = brotliCompressSync(bytes, { params });
  await writeFile(`dist/${name}.br`, packed);
  console.log(`${name}\t${bytes.length} bytes, ${packed.length} on the wire`);
}
await writeFile("dist/manifest.txt", `${lines.sort().join("\n")}\n`);
