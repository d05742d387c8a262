// A certified OpenID provider on a free port, as an organisation would run one. It prints its issuer. Whoever types a name is
// that person; `unvouched` has an address that the provider does not vouch for.
import http from "node:http";
import Provider from "oidc-provider";

const server = http.createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: "mana", client_secret: "a secret: with signs/+", redirect_uris: ["http://auth.test/login/provider"] }],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    pkce: { required: () => true },
    findAccount: (_ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.org`, email_verified: id !== "unvouched", name: `${id} of elsewhere` }),
    }),
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
// It ends with the test that started it.
process.stdin.on("end", () => process.exit()).resume();
