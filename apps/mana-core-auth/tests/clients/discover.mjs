// Finds out about the issuer and about who is signed in as a certified client does: by what it publishes alone.
//   node discover.mjs BASE ISSUER TOKEN USER
import assert from "node:assert";
import * as client from "openid-client";

const [base, issuer, token, user] = process.argv.slice(2);
// The issuer's name leads nowhere on this machine.
const there = (url, options) => fetch(String(url).replace(issuer, base), options);
for (const algorithm of ["oidc", "oauth2"]) {
  const options = { algorithm, execute: [client.allowInsecureRequests], [client.customFetch]: there };
  const config = await client.discovery(new URL(issuer), "chat", undefined, client.None(), options);
  const metadata = config.serverMetadata();
  assert.equal(metadata.issuer, issuer);
  assert.ok(metadata.jwks_uri.startsWith(issuer) && metadata.userinfo_endpoint.startsWith(issuer));
  const person = await client.fetchUserInfo(config, token, user);
  assert.deepEqual([person.sub, person.email, person.email_verified], [user, "ada@example.com", false]);
  // It notices who is taken for somebody else, and what is no token.
  await assert.rejects(client.fetchUserInfo(config, token, "somebody else"));
  const forged = `${token.slice(0, -8)}AAAAAAAA`;
  await assert.rejects(client.fetchUserInfo(config, forged, user), (error) => error.status === 401);
}
