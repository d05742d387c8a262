// Reads a plan (`mana plan --json`) from standard input and asks each of its services; see health-check-all.sh.
import http from "node:http";
import https from "node:https";
import { readFileSync } from "node:fs";

const TIMEOUT_MS = 5_000;

const plan = JSON.parse(readFileSync(0, "utf8"));

/** One GET; resolves to a problem in words, or to null when it answered 200. */
function ask(target, { host, port, path, tls }) {
  return new Promise((resolve) => {
    const options = { host: tls ? host : "127.0.0.1", port, path, headers: { host }, timeout: TIMEOUT_MS };
    const request = (tls ? https : http).get(options, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => resolve(answer.statusCode === 200 ? null : `${target} answered ${answer.statusCode}: ${summary(chunks)}`));
    });
    request.on("timeout", () => request.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    request.on("error", (error) => resolve(`${target}: ${error.message}`));
  });
}

function summary(chunks) {
  return Buffer.concat(chunks).toString("utf8").replace(/\s+/g, " ").slice(0, 300);
}

const tls = plan.public_scheme === "https";
const publicPort = plan.public_port ?? (tls ? 443 : 80);

const checks = plan.services.flatMap((service) => {
  const command = service.run.command;
  const paths = command ? [command.live, command.ready] : ["/"];
  const open = service.hosts.flatMap((host) =>
    paths.map((path) => ask(`http${tls ? "s" : ""}://${host}:${publicPort}${path}`, { host, port: publicPort, path, tls })),
  );
  const [host, port] = command ? command.internal.split(":") : [];
  const inner = command
    ? paths.map((path) => ask(`http://${command.internal}${path}`, { host, port: Number(port), path, tls: false }))
    : [];
  return [{ name: service.name, answers: Promise.all([...open, ...inner]) }];
});

let well = 0;
for (const { name, answers } of checks) {
  const all = await answers;
  const problems = all.filter(Boolean);
  if (problems.length === 0) {
    well += 1;
    console.log(`ok    ${name} (${all.length} checks)`);
  } else {
    problems.forEach((problem) => console.log(`FAIL  ${name}: ${problem}`));
  }
}
console.log(`${well} of ${checks.length} services are well`);
process.exitCode = well === checks.length ? 0 : 1;
