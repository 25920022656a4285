"""Through the gateway to the fake Bedrock: botocore must agree with every signature."""

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
print("bedrock: ok")
