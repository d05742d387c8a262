// Verifies an access token as an app of another language would: from the issuer's metadata alone.
//   node verify.mjs BASE ISSUER TOKEN
import assert from "node:assert";
import { createRemoteJWKSet, jwtVerify } from "jose";

const [base, issuer, token] = process.argv.slice(2);
const metadata = await (await fetch(`${base}/.well-known/openid-configuration`)).json();
assert.equal(metadata.issuer, issuer);
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri.replace(issuer, base)));
const options = { issuer, audience: issuer, typ: "at+jwt", algorithms: metadata.id_token_signing_alg_values_supported };
const { payload } = await jwtVerify(token, keys, options);
for (const claim of metadata.claims_supported) assert.ok(payload[claim] !== undefined, claim);
await assert.rejects(jwtVerify(`${token.slice(0, -8)}AAAAAAAA`, keys, options));
