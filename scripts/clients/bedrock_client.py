"""Through the gateway to the fake Bedrock: botocore must agree with every signature and request."""

import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="sk-demo", max_retries=0, timeout=20)
for model in ("claude", "arn", "plain"):
    ask = {"model": model, "messages": [{"role": "user", "content": "Merhaba dünya"}]}
    answer = client.chat.completions.create(**ask)
    assert answer.choices[0].message.content == "Hello", answer
    assert answer.usage.total_tokens == 6, answer
    chunks = list(
        client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    assert chunks[-1].usage.prompt_tokens == 4, chunks

# Everything that a request may have, against the service's own model.
tool = {"type": "function", "function": {"name": "weather", "description": "The weather", "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"İzmir\"}"}}
shown = [
    {"type": "text", "text": "What is it like?", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    {"type": "file", "file": {"filename": "my_report.v2.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
]
thought = [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "redacted_thinking", "data": "ZA=="}]
history = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": shown},
    {"role": "assistant", "content": None, "reasoning_details": thought, "tool_calls": [call]},
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    {"role": "user", "content": "And tomorrow?"},
]
schema = {"type": "json_schema", "json_schema": {"name": "s", "description": "d", "schema": {"type": "object"}}}
for more in (
    {"max_tokens": 4000, "temperature": 0.5, "stop": ["END"]},
    {"reasoning_effort": "low", "max_tokens": 4000},
    {"tool_choice": "required", "parallel_tool_calls": True},
    {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
    {"tool_choice": "none"},
    {"parallel_tool_calls": False},
    {"response_format": schema},
    {"response_format": {"type": "json_object"}},
    {"service_tier": "priority", "metadata": {"team": "x"}},
    {"extra_body": {"top_k": 5, "performanceConfig": {"latency": "optimized"}, "cache_control": {"type": "ephemeral"}}},
):
    answer = client.chat.completions.create(model="claude", messages=history, tools=[tool], **more)
    assert answer.choices[0].message.content == "Hello", (more, answer)
client.chat.completions.create(model="plain", messages=history[:2], reasoning_effort="low", top_p=0.5)
print("bedrock: ok")
