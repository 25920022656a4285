"""The official Anthropic client against the gateway: messages, streams, tools and errors."""

import sys

import anthropic

BASE = sys.argv[1]


def client(key="sk-demo", **how):
    return anthropic.Anthropic(base_url=BASE, api_key=key, max_retries=0, timeout=20, **how)


def ask(key="sk-demo", **fields):
    fields.setdefault("model", "mock/echo")
    fields.setdefault("max_tokens", 200)
    fields.setdefault("messages", [{"role": "user", "content": "Merhaba dünya, nasılsın?"}])
    return client(key).messages.create(**fields)


def refused(kind, status, error_type, key="sk-demo", **fields):
    try:
        ask(key, **fields)
    except kind as error:
        assert error.status_code == status, (error.status_code, status)
        assert error.body["type"] == "error", error.body
        assert error.body["error"]["type"] == error_type, (error.body, error_type)
        assert error.request_id == error.body["request_id"], error.body
        return error
    raise AssertionError(f"expected {kind.__name__} {error_type}")


message = ask(system="Be brief.")
assert message.type == "message" and message.role == "assistant", message
assert "Merhaba dünya" in message.content[0].text, message
assert message.stop_reason == "end_turn" and message.model == "mock/echo"
assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0, message.usage

# A bearer token will do as well as x-api-key.
bearer = anthropic.Anthropic(base_url=BASE, auth_token="sk-demo", api_key=None, max_retries=0)
assert bearer.messages.create(
    model="echo", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
).content

with client().messages.stream(
    model="mock/echo",
    max_tokens=200,
    messages=[{"role": "user", "content": [{"type": "text", "text": "Merhaba dünya"}]}],
) as stream:
    text = "".join(stream.text_stream)
    final = stream.get_final_message()
assert "Merhaba dünya" in text, text
assert final.content[0].text == text and final.stop_reason == "end_turn", final
assert final.usage.output_tokens > 0 and final.usage.input_tokens > 0, final.usage

tools = [{"name": "lookup", "description": "d", "input_schema": {"type": "object", "properties": {}}}]
message = ask(model="mock/tool", tools=tools)
call = next(block for block in message.content if block.type == "tool_use")
assert message.stop_reason == "tool_use" and call.id and isinstance(call.input, dict), message
with client().messages.stream(
    model="mock/tool", max_tokens=200, tools=tools, messages=[{"role": "user", "content": "hi"}]
) as stream:
    streamed = stream.get_final_message()
again = next(block for block in streamed.content if block.type == "tool_use")
assert again.name == call.name and again.input == {"text": "hi"}, (again, call)
history = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "42"}]},
]
assert ask(messages=history, tools=tools).content

message = ask(model="mock/reasoning")
thought = next(block for block in message.content if block.type == "thinking")
assert thought.thinking, message
with client().messages.stream(
    model="mock/reasoning", max_tokens=200, messages=[{"role": "user", "content": "hi"}]
) as stream:
    kinds = [block.type for block in stream.get_final_message().content]
assert kinds[0] == "thinking" and "text" in kinds, kinds

refused(anthropic.AuthenticationError, 401, "authentication_error", key="sk-wrong")
refused(anthropic.BadRequestError, 400, "invalid_request_error", extra_body={"temperature": 3})
refused(anthropic.BadRequestError, 400, "invalid_request_error", messages="hi")
refused(anthropic.APIStatusError, 402, "billing_error", key="sk-poor")
refused(anthropic.PermissionDeniedError, 403, "permission_error", key="sk-narrow")
refused(anthropic.NotFoundError, 404, "not_found_error", model="nobody/knows")
refused(anthropic.RateLimitError, 429, "rate_limit_error", model="mock/rate-limited")
refused(anthropic.InternalServerError, 529, "overloaded_error", model="mock/overloaded")
refused(anthropic.InternalServerError, 502, "api_error", model="mock/error")

try:
    with client().messages.stream(
        model="mock/cut", max_tokens=200, messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        stream.get_final_message()
except anthropic.APIError as error:
    assert error.body["error"]["type"] == "api_error", error.body
else:
    raise AssertionError("a cut stream must raise")

print("anthropic: ok")
