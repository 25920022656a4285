"""The official Python client against the gateway: answers, streams and every class of error."""

import sys

import openai

BASE = sys.argv[1] + "/v1"


def client(key="sk-demo"):
    return openai.OpenAI(base_url=BASE, api_key=key, max_retries=0, timeout=20)


def ask(key="sk-demo", **fields):
    fields.setdefault("model", "mock/echo")
    fields.setdefault("messages", [{"role": "user", "content": "Merhaba dünya, nasılsın?"}])
    return client(key).chat.completions.create(**fields)


def refused(kind, status, code, key="sk-demo", **fields):
    try:
        ask(key, **fields)
    except kind as error:
        assert error.status_code == status, (error.status_code, status)
        assert error.body["code"] == code, (error.body, code)
        assert set(error.body) == {"message", "type", "param", "code"}, error.body
        return error
    raise AssertionError(f"expected {kind.__name__} {code}")


answer = ask()
assert "Merhaba dünya" in answer.choices[0].message.content, answer
assert answer.choices[0].finish_reason == "stop"
assert answer.model == "mock/echo" and answer.usage.total_tokens > 0
assert ask(model="echo").model == "echo"

raw = client().chat.completions.with_raw_response.create(
    model="mock/echo", messages=[{"role": "user", "content": "hi"}]
)
assert float(raw.headers["x-completion-cost"]) > 0
assert raw.headers["x-completion-cost-currency"] == "USD"
assert raw.headers["x-request-id"]

for usage in (False, True):
    options = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(ask(stream=True, **options))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "Merhaba dünya" in text, text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1
    assert [c for c in chunks if c.choices][-1].choices[0].finish_reason == "stop"
    assert (chunks[-1].usage is not None) == usage
    assert (chunks[-1].choices == []) == usage

models = {model.id for model in client().models.list()}
assert "mock/echo" in models and "echo" not in models, models
assert client().models.retrieve("mock/echo").id == "mock/echo"

refused(openai.AuthenticationError, 401, "invalid_api_key", key="sk-wrong")
refused(openai.BadRequestError, 400, "invalid_value", temperature=3)
error = refused(openai.BadRequestError, 400, "invalid_type", messages="hi")
assert error.body["param"] == "messages", error.body
refused(openai.APIStatusError, 402, "insufficient_balance", key="sk-poor")
refused(openai.PermissionDeniedError, 403, "model_not_allowed", key="sk-narrow")
refused(openai.NotFoundError, 404, "model_not_found", model="nobody/knows")
ask("sk-slow")
error = refused(openai.RateLimitError, 429, "rate_limit_exceeded", key="sk-slow")
assert 0 < int(error.response.headers["retry-after"]) <= 60
assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
refused(openai.RateLimitError, 429, "upstream_rate_limited", model="mock/rate-limited")
refused(openai.InternalServerError, 502, "bad_upstream_response", model="mock/error")
refused(openai.InternalServerError, 503, "upstream_overloaded", model="mock/overloaded")

try:
    list(ask(model="mock/cut", stream=True))
except openai.APIError as error:
    assert error.body["type"] == "upstream_error", error.body
else:
    raise AssertionError("a cut stream must raise")

print("python: ok")
