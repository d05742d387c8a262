// Runs every `src/**/*.test.ts` with Node's own test runner, bundled first since Node 20 reads no TypeScript.
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const found = await readdir("src", { recursive: true });
const tests = found.filter((name) => name.endsWith(".test.ts")).map((name) => join("src", name));
const folder = await mkdtemp(join(tmpdir(), "mana-ui-"));
try {
  const outExtension = { ".js": ".mjs" };
  await build({ entryPoints: tests, outdir: folder, bundle: true, platform: "node", format: "esm", outExtension });
  const built = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".mjs"));
  const { status } = spawnSync(process.execPath, ["--test", ...built.map((name) => join(folder, name))], { stdio: "inherit" });
  process.exitCode = status ?? 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
