// What the scripts beside this one share: their arguments, counted checks, and waits that are looked at instead of waited for.
//
//   npm ci && node SCRIPT BASE KEY [BROKE_KEY]
//
// BASE ends in /v1, KEY is an access token with at least 20 credits, BROKE_KEY one without any. The service must offer the model
// `echo`. With CONTROL in the environment, a POST there makes the ledger fail once. A script exits 0 when everything is as OpenAI's
// protocol says, 1 with every mismatch listed otherwise.
export const [base, key, brokeKey] = process.argv.slice(2);
if (!base || !key) {
  console.error('usage: node SCRIPT BASE KEY [BROKE_KEY]');
  process.exit(64);
}

const mismatches = [];
let checks = 0;

export function is(what, got, want) {
  checks += 1;
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    mismatches.push(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  }
}

export function holds(what, condition) {
  is(what, Boolean(condition), true);
}

/** Runs them in their order and ends the process. */
export async function run(sections) {
  for (const [name, section] of Object.entries(sections)) {
    const before = mismatches.length;
    try {
      await section();
    } catch (error) {
      mismatches.push(`${name}: ${error?.stack ?? error}`);
    }
    console.log(`${mismatches.length === before ? 'ok  ' : 'FAIL'} ${name}`);
  }
  for (const mismatch of mismatches) console.error(`  ${mismatch}`);
  console.log(`${checks} checks, ${mismatches.length} mismatches`);
  process.exit(mismatches.length === 0 ? 0 : 1);
}

/** What a call of the service's own API says. */
export async function ours(path, body) {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const answer = await fetch(new URL(path, base), { method: body ? 'POST' : 'GET', headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

export const balance = async () => (await ours('/api/credits')).credits;

/** Waits until what was begun is paid: a stop is settled a moment after it. */
export async function paid(left) {
  for (let n = 0; n < 200 && (await balance()) !== left; n += 1) await new Promise((resolve) => setTimeout(resolve, 25));
  return balance();
}

/** A key that may make one request a minute, of which enough is left for a few. */
export async function slowKey() {
  const into = Date.now() % 60_000;
  if (into > 50_000) await new Promise((resolve) => setTimeout(resolve, 60_100 - into));
  return (await ours('/api/keys', { name: 'one a minute', requestsPerMinute: 1 })).key;
}

/** Makes the ledger fail at the next reservation. */
export async function breakOnce() {
  const answer = await fetch(process.env.CONTROL, { method: 'POST' });
  if (!answer.ok) throw new Error(`${process.env.CONTROL}: ${answer.status}`);
}

/** Carries `what` out while waits of 200 ms and more pass at once; gives them, in milliseconds. */
export async function impatiently(what) {
  const { setTimeout: wait } = globalThis;
  const waits = [];
  globalThis.setTimeout = (call, after = 0, ...more) => {
    // Neither a limit on a whole request nor one on idle connections is a wait.
    const shortened = after >= 200 && after < 90_000 && !new Error().stack.includes('undici');
    if (shortened) waits.push(after);
    return wait(call, shortened ? 1 : after, ...more);
  };
  try {
    await what();
  } finally {
    globalThis.setTimeout = wait;
  }
  return waits;
}

/** `fetch` that keeps the answers it got. */
export function remembering() {
  const answers = [];
  const remembered = async (...call) => {
    const answer = await fetch(...call);
    answers.push(answer);
    return answer;
  };
  return [remembered, answers];
}
