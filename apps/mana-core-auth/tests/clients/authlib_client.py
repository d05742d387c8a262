"""Verifies an access token as an app in Python would: by Authlib, from the issuer's metadata alone.

    python authlib_client.py BASE ISSUER TOKEN USER
"""

import json
import sys
import urllib.request

from authlib.jose import JsonWebKey, JsonWebToken
from authlib.jose.errors import JoseError

base, issuer, token, user = sys.argv[1:]


def get(url):
    # The issuer's name leads nowhere on this machine.
    with urllib.request.urlopen(url.replace(issuer, base), timeout=10) as answer:
        return json.load(answer)


metadata = get(f"{issuer}/.well-known/openid-configuration")
assert metadata["issuer"] == issuer, metadata
keys = JsonWebKey.import_key_set(get(metadata["jwks_uri"]))
jwt = JsonWebToken(metadata["id_token_signing_alg_values_supported"])


def claims(token, **options):
    essential = {"iss": issuer, "aud": issuer} | options
    wanted = {name: {"essential": True, "value": value} for name, value in essential.items()}
    told = jwt.decode(token, keys, claims_options=wanted | {"exp": {"essential": True}})
    told.validate()
    return told


def refused(why, check):
    try:
        check()
    except JoseError:
        return
    raise AssertionError(f"{why} is accepted")


told = claims(token, sub=user)
assert told.header["typ"] == "at+jwt", told.header
assert told["email"] == "ada@example.com" and told["exp"] > told["iat"], told
refused("another signature", lambda: claims(token[:-8] + "AAAAAAAA"))
refused("another audience", lambda: claims(token, aud="https://elsewhere.example"))
refused("another algorithm", lambda: JsonWebToken(["HS256", "RS256", "ES256"]).decode(token, keys))
