"""The official OpenAI client for Python against chat-backend: only base URL and key differ from its use with OpenAI.

    pip install -r requirements.txt && python openai_client.py BASE KEY [BROKE_KEY]

As openai.mjs, in short: BASE ends in /v1, KEY is an access token with at least 10 credits, BROKE_KEY one without any; the
service offers the model `echo`. Exits 0 when everything is as OpenAI's protocol says, 1 otherwise.
"""

import sys

import openai

QUESTION = [{"role": "user", "content": "one two three"}]
ANSWER = "You said: one two three"


def main(base: str, key: str, broke_key: str | None) -> None:
    client = openai.OpenAI(base_url=base, api_key=key, max_retries=0, timeout=20)

    assert "echo" in [model.id for model in client.models.list()]

    completion = client.chat.completions.create(model="echo", messages=QUESTION, temperature=0)
    assert completion.choices[0].message.content == ANSWER, completion
    assert completion.choices[0].finish_reason == "stop", completion
    assert completion.usage and completion.usage.total_tokens > 0, completion

    chunks = list(
        client.chat.completions.create(
            model="echo", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == ANSWER, chunks
    assert chunks[-1].choices == [] and chunks[-1].usage, chunks[-1]
    assert all(chunk.usage is None for chunk in chunks[:-1]), chunks

    def create(client: openai.OpenAI, **changes: object) -> object:
        return client.chat.completions.create(**{"model": "echo", "messages": QUESTION, **changes})

    def broken_stream() -> None:
        for _ in create(client, model="echo-abort", stream=True):
            pass

    stranger = openai.OpenAI(base_url=base, api_key="sk-wrong", max_retries=0)
    cases = [
        (lambda: create(stranger), openai.AuthenticationError, 401, "invalid_api_key"),
        (lambda: create(client, model="gpt-0"), openai.NotFoundError, 404, "model_not_found"),
        (lambda: create(client, messages=[]), openai.BadRequestError, 400, "invalid_value"),
        (lambda: create(client, model="echo-fail"), openai.InternalServerError, 502, "model_failed"),
        (broken_stream, openai.APIError, None, "model_stream_broken"),
    ]
    if broke_key:
        broke = openai.OpenAI(base_url=base, api_key=broke_key)
        cases.append((lambda: create(broke), openai.APIStatusError, 402, "insufficient_quota"))
    for call, kind, status, code in cases:
        try:
            call()
        except kind as error:
            got = getattr(error, "status_code", None), error.code
            assert got == (status, code), f"{got}, want {(status, code)}: {error}"
        else:
            raise AssertionError(f"no error, want {kind.__name__} {status} {code}")
    print(f"{6 + len(cases)} checks, 0 mismatches")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        print("usage: python openai_client.py BASE KEY [BROKE_KEY]", file=sys.stderr)
        sys.exit(64)
    main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else None)
