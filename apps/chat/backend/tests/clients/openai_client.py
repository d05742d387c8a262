"""The official OpenAI client for Python against chat-backend: only base URL and key differ from its use with OpenAI.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python openai_client.py BASE KEY [BROKE_KEY]

BASE ends in /v1, KEY is an access token with at least 20 credits, BROKE_KEY one without any. The service must offer the model `echo`.
With CONTROL in the environment, a POST there makes the ledger fail once. Exits 0 when everything is as OpenAI's protocol says, 1 with
every mismatch listed otherwise.
"""

import json
import os
import sys
import time
import traceback
import urllib.request
from contextlib import contextmanager
from urllib.parse import urljoin

import openai
from pydantic import BaseModel

QUESTION = [{"role": "user", "content": "one two three"}]
ANSWER = "You said: one two three"
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


class Said(BaseModel):
    said: str


BASE, KEY, BROKE_KEY = (*sys.argv[1:], None, None, None)[:3]
if not BASE or not KEY:
    print(__doc__, file=sys.stderr)
    sys.exit(64)
client = openai.OpenAI(base_url=BASE, api_key=KEY, max_retries=0, timeout=20)
checks = 0


def check(what: str, got: object, want: object = True) -> None:
    global checks
    checks += 1
    assert got == want, f"{what}: got {got!r}, want {want!r}"


def create(client: openai.OpenAI = client, **changes: object):
    return client.chat.completions.create(**{"model": "echo", "messages": QUESTION, **changes})


def ours(path: str, body: object = None) -> dict:
    """What a call of the service's own API says."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(urljoin(BASE, path), data, headers)) as answer:
        return json.load(answer)


def break_once() -> None:
    """Makes the ledger fail at the next reservation."""
    urllib.request.urlopen(os.environ["CONTROL"], b"").close()


@contextmanager
def impatience():
    """Waits pass at once; gives them, in seconds."""
    waits, sleep = [], time.sleep
    time.sleep = lambda seconds: waits.append(seconds)
    try:
        yield waits
    finally:
        time.sleep = sleep


@contextmanager
def remembering(**options: object):
    """A client whose answers are kept: their status, and when to come again."""
    answers = []
    http = openai.DefaultHttpxClient(
        event_hooks={"response": [lambda answer: answers.append((answer.status_code, answer.headers.get("retry-after")))]}
    )
    with openai.OpenAI(base_url=BASE, http_client=http, **options) as client:
        yield client, answers


def fails(what: str, call, kind: type, status: int | None, code: str) -> None:
    try:
        call()
    except openai.OpenAIError as error:
        check(f"{what}: kind of error", type(error), kind)
        check(f"{what}: status and code", (getattr(error, "status_code", None), error.code), (status, code))
    else:
        raise AssertionError(f"{what}: no error, want {kind.__name__} {status} {code}")


def models_are_listed_and_found_by_id() -> None:
    check("listed", "echo" in [model.id for model in client.models.list()])
    check("found", client.models.retrieve("echo").id, "echo")


def a_plain_answer_has_the_shape_of_openai() -> None:
    completion = create(temperature=0, seed=7, user="ada")
    (choice,) = completion.choices
    check("text", (choice.message.role, choice.message.content), ("assistant", ANSWER))
    check("finish", choice.finish_reason, "stop")
    usage = completion.usage
    check("usage", usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
    check("tokens", usage.completion_tokens > 0)


def a_stream_comes_in_pieces_with_its_usage_where_it_is_asked_for() -> None:
    for asked in (False, True):
        options = {"stream_options": {"include_usage": True}} if asked else {}
        chunks = list(create(stream=True, **options))
        check("text", "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), ANSWER)
        check("pieces", len(chunks) > 4)
        finished = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
        check("finish", (finished[-1], set(finished[:-1])), ("stop", {None}))
        used = [chunk for chunk in chunks if chunk.usage is not None]
        check("usage", [chunk.choices for chunk in used], [[]] if asked else [])


def the_stream_helper_puts_the_answer_together() -> None:
    with client.chat.completions.stream(model="echo", messages=QUESTION) as stream:
        completion = stream.get_final_completion()
    check("text", completion.choices[0].message.content, ANSWER)


def tools_are_called_plain_and_streamed() -> None:
    messages = [{"role": "user", "content": "[call=1] hi"}]
    plain = create(messages=messages, tools=TOOLS)
    with client.chat.completions.stream(model="echo", messages=messages, tools=TOOLS) as stream:
        streamed = stream.get_final_completion()
    for completion in (plain, streamed):
        (choice,) = completion.choices
        check("finish", choice.finish_reason, "tool_calls")
        (call,) = choice.message.tool_calls
        check("call", (call.id, call.function.name), ("call_0", "look"))
        check("arguments", json.loads(call.function.arguments), {"said": "You said: hi"})
    result = {"role": "tool", "tool_call_id": "call_0", "content": "seen"}
    after = create(messages=[*messages, plain.choices[0].message, result])
    check("after the result", after.choices[0].finish_reason, "stop")


def several_choices_plain_and_streamed() -> None:
    check("plain", [choice.message.content for choice in create(n=3).choices], [ANSWER] * 3)
    texts = ["", "", ""]
    for chunk in create(n=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    check("streamed", texts, [ANSWER] * 3)


def an_answer_has_the_form_that_was_asked_for() -> None:
    parsed = client.chat.completions.parse(model="echo", messages=QUESTION, response_format=Said)
    check("parsed", parsed.choices[0].message.parsed, Said(said=ANSWER))


def errors_are_those_of_openai() -> None:
    stranger = openai.OpenAI(base_url=BASE, api_key="sk-wrong", max_retries=0)
    fails("wrong key", lambda: create(stranger), openai.AuthenticationError, 401, "invalid_api_key")
    fails("unknown model", lambda: create(model="gpt-0"), openai.NotFoundError, 404, "model_not_found")
    fails("no messages", lambda: create(messages=[]), openai.BadRequestError, 400, "invalid_value")
    fails("model fails", lambda: create(model="echo-fail"), openai.InternalServerError, 502, "model_failed")
    fails("broken", lambda: list(create(model="echo-abort", stream=True)), openai.APIError, None, "model_stream_broken")
    headers = {"Idempotency-Key": f"key-{time.time_ns()}"}
    first, again = (create(extra_headers=headers) for _ in range(2))
    check("the same call", first.id, again.id)
    other = [{"role": "user", "content": "other"}]
    with impatience() as waits:
        reused = lambda: create(openai.OpenAI(base_url=BASE, api_key=KEY), messages=other, extra_headers=headers)
        fails("another body", reused, openai.ConflictError, 409, "idempotency_key_reused")
        if BROKE_KEY:
            broke = openai.OpenAI(base_url=BASE, api_key=BROKE_KEY)
            fails("broke", lambda: create(broke), openai.APIStatusError, 402, "insufficient_quota")
    check("neither is asked again", waits, [])


def a_stream_is_closed_and_what_was_told_is_charged_once() -> None:
    before = ours("/api/credits")["credits"]
    with create(messages=[{"role": "user", "content": "[delay=50] [words=200]"}], stream=True) as stream:
        pieces = (chunk for chunk in stream if chunk.choices[0].delta.content)
        next(pieces), next(pieces)
    for _ in range(200):
        left = ours("/api/credits")["credits"]
        if left == before - 1:
            break
        time.sleep(0.025)
    check("charged", left, before - 1)


def a_limit_is_waited_for_as_long_as_it_says() -> None:
    if time.time() % 60 > 50:
        # At the turn of a minute the count begins anew.
        time.sleep(60.1 - time.time() % 60)
    slow = ours("/api/keys", {"name": "one a minute", "requestsPerMinute": 1})["key"]
    with remembering(api_key=slow, max_retries=1) as (client, answers):
        create(client)
        with impatience() as waits:
            fails("limited", lambda: create(client), openai.RateLimitError, 429, "rate_limit_exceeded")
    check("asked twice", [status for status, _ in answers], [200, 429, 429])
    check("waited", waits, [float(answers[1][1])])


def what_is_away_for_a_moment_is_asked_again() -> None:
    if "CONTROL" not in os.environ:
        return
    for stream in (False, True):
        break_once()
        with remembering(api_key=KEY, max_retries=2) as (client, answers), impatience() as waits:
            told = create(client, stream=stream)
            if stream:
                list(told)
        check("statuses", [status for status, _ in answers], [503, 200])
        check("waited", waits, [float(answers[0][1])])
    break_once()
    fails("ledger away", create, openai.InternalServerError, 503, "ledger_unavailable")


SECTIONS = [
    models_are_listed_and_found_by_id,
    a_plain_answer_has_the_shape_of_openai,
    a_stream_comes_in_pieces_with_its_usage_where_it_is_asked_for,
    the_stream_helper_puts_the_answer_together,
    tools_are_called_plain_and_streamed,
    several_choices_plain_and_streamed,
    an_answer_has_the_form_that_was_asked_for,
    errors_are_those_of_openai,
    a_stream_is_closed_and_what_was_told_is_charged_once,
    a_limit_is_waited_for_as_long_as_it_says,
    what_is_away_for_a_moment_is_asked_again,
]
failed = 0
for section in SECTIONS:
    try:
        section()
    except Exception:  # every mismatch is to be listed
        failed += 1
        print(f"FAIL {section.__name__}\n{traceback.format_exc()}", file=sys.stderr)
    else:
        print(f"ok   {section.__name__}")
print(f"{checks} checks, {failed} failures")
sys.exit(1 if failed else 0)
