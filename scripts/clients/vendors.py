"""Anthropic's and Google's own SDKs as oracles: what the gateway sends upstream must be what their
types allow, and answers made of their types must come out as the official OpenAI client reads them.

    vendors.py GATEWAY
"""

import base64
import json
import subprocess
import sys
import tempfile
import threading
import typing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic.types as a
import pydantic
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from google.genai import types as g
from openai import OpenAI

TOOLS = [{
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}]
SIGNATURE = base64.b64encode(b"what was thought").decode()


def check_anthropic(body):
    kind = MessageCreateParamsStreaming if body.get("stream") else MessageCreateParamsNonStreaming
    pydantic.TypeAdapter(kind).validate_python(body)
    # Sequences are iterables there, which are not looked into: each of their items is checked alone.
    block, tool = pydantic.TypeAdapter(a.ContentBlockParam), pydantic.TypeAdapter(a.ToolUnionParam)
    for turn in body["messages"]:
        assert turn["role"] in ("user", "assistant")
        for one in turn["content"]:
            block.validate_python(one)
    for one in body.get("system", []):
        pydantic.TypeAdapter(a.TextBlockParam).validate_python(one)
    for one in body.get("tools", []):
        tool.validate_python(one)
    known = set(typing.get_type_hints(kind))
    assert set(body) <= known, f"members that the SDK does not know: {set(body) - known}"


def check_gemini(body):
    for content in body["contents"]:
        g.Content.model_validate(content)
    if "systemInstruction" in body:
        g.Content.model_validate(body["systemInstruction"])
    for tool in body.get("tools", []):
        g.Tool.model_validate(tool)
    if "toolConfig" in body:
        g.ToolConfig.model_validate(body["toolConfig"])
    if "generationConfig" in body:
        g.GenerationConfig.model_validate(body["generationConfig"])
    known = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings",
             "cachedContent", "serviceTier", "labels"}
    assert set(body) <= known, set(body) - known


def anthropic_answer(asked):
    results = any(block["type"] == "tool_result" for turn in asked["messages"] for block in turn["content"])
    content = [a.ThinkingBlock(type="thinking", thinking="hm", signature=SIGNATURE)]
    if "tools" in asked and not results:
        content.append(a.ToolUseBlock.model_validate(
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "İzmir"}, "caller": {"type": "direct"}}))
        reason = "tool_use"
    else:
        content.append(a.TextBlock(type="text", text="Güneşli \"bugün\"\n"))
        reason = "end_turn"
    usage = a.Usage(input_tokens=10, output_tokens=5, cache_read_input_tokens=3, cache_creation_input_tokens=2)
    return a.Message.model_validate({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
                                     "content": content, "stop_reason": reason, "stop_sequence": None, "usage": usage})


def anthropic_events(message):
    def event(**members):
        made = pydantic.TypeAdapter(a.RawMessageStreamEvent).validate_python(members)
        return f"event: {made.type}\ndata: {made.model_dump_json()}\n\n"

    begun = message.model_copy(update={"content": [], "stop_reason": None})
    yield event(type="message_start", message=begun.model_dump())
    for index, block in enumerate(message.content):
        empty = block.model_dump()
        deltas = []
        if block.type == "text":
            empty["text"] = ""
            deltas = [{"type": "text_delta", "text": part} for part in (block.text[:4], block.text[4:])]
        elif block.type == "thinking":
            empty.update(thinking="", signature="")
            deltas = [{"type": "thinking_delta", "thinking": block.thinking},
                      {"type": "signature_delta", "signature": block.signature}]
        else:
            text = json.dumps(block.input)
            empty["input"] = {}
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in ("", text[:5], text[5:])]
        yield event(type="content_block_start", index=index, content_block=empty)
        yield "event: ping\ndata: {\"type\": \"ping\"}\n\n"
        for delta in deltas:
            yield event(type="content_block_delta", index=index, delta=delta)
        yield event(type="content_block_stop", index=index)
    yield event(type="message_delta", delta={"stop_reason": message.stop_reason, "stop_sequence": None},
                usage={"output_tokens": 5})
    yield event(type="message_stop")


def gemini_answer(asked):
    results = any("functionResponse" in part for turn in asked["contents"] for part in turn["parts"])
    parts = [g.Part(text="hm", thought=True)]
    if "tools" in asked and not results:
        call = g.FunctionCall(name="weather", args={"city": "İzmir"})
        parts.append(g.Part(function_call=call, thought_signature=base64.b64decode(SIGNATURE)))
    else:
        parts.append(g.Part(text="Güneşli \"bugün\"\n"))
    usage = g.GenerateContentResponseUsageMetadata(
        prompt_token_count=15, cached_content_token_count=3, candidates_token_count=3, thoughts_token_count=2, total_token_count=20)
    return g.GenerateContentResponse(
        candidates=[g.Candidate(content=g.Content(role="model", parts=parts), finish_reason="STOP", index=0)],
        usage_metadata=usage, model_version="gemini-3-flash", response_id="r1")


def gemini_events(response):
    candidate = response.candidates[0]
    for at, part in enumerate(candidate.content.parts):
        last = at + 1 == len(candidate.content.parts)
        one = g.Candidate(content=g.Content(role="model", parts=[part]), index=0, finish_reason="STOP" if last else None)
        made = response.model_copy(update={"candidates": [one]})
        yield "data: " + dump(made) + "\r\n\r\n"


def dump(model):
    return model.model_dump_json(by_alias=True, exclude_none=True)


class Upstream(BaseHTTPRequestHandler):
    seen = []
    faults = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append((self.path, body))
        google = "/v1beta/" in self.path
        try:
            assert self.headers["x-goog-api-key" if google else "x-api-key"] == "upstream-key"
            (check_gemini if google else check_anthropic)(body)
        except Exception as fault:  # told at the end: the handler's own thread ends with it
            self.faults.append(f"{self.path}: {fault}\n{json.dumps(body, ensure_ascii=False)}")
        if google:
            answer = gemini_answer(body)
            events = gemini_events(answer) if ":stream" in self.path else None
        else:
            answer = anthropic_answer(body)
            events = anthropic_events(answer) if body.get("stream") else None
        text = "".join(events) if events else dump(answer)
        data = text.encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if events else "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def config(base):
    text = "[[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n"
    for name, model in (("anthropic", "claude-sonnet-4-5"), ("gemini", "gemini-3-flash")):
        text += (f"[[providers]]\nname = \"{name}\"\nkind = \"{name}\"\nbase_url = \"{base}\"\napi_keys = [\"upstream-key\"]\n"
                 f"[[models]]\nid = \"{name}/m\"\ntargets = [{{ provider = \"{name}\", model = \"{model}\" }}]\n")
    return text


def said(client, stream, **ask):
    """The answer as the client has it in the end, streamed or not."""
    if not stream:
        answer = client.chat.completions.create(**ask)
        return answer.choices[0].message.model_dump(exclude_none=True), answer.choices[0].finish_reason, answer.usage
    message, calls, reason, usage = {"role": "assistant"}, {}, None, None
    for chunk in client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **ask):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            reason = choice.finish_reason or reason
            delta = choice.delta.model_dump(exclude_none=True)
            for call in delta.pop("tool_calls", []):
                kept = calls.setdefault(call["index"], {"type": "function", "function": {"name": "", "arguments": ""}})
                kept["function"]["arguments"] += call.get("function", {}).get("arguments", "")
                kept["function"]["name"] = call.get("function", {}).get("name") or kept["function"]["name"]
                kept["id"] = call.get("id") or kept["id"]
            for name in ("content", "reasoning_content"):
                if delta.get(name):
                    message[name] = message.get(name, "") + delta[name]
            message.setdefault("reasoning_details", []).extend(delta.get("reasoning_details", []))
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message, reason, usage


def exchange(client, provider, stream):
    ask = {
        "model": f"{provider}/m", "max_tokens": 4000, "reasoning_effort": "low", "tools": TOOLS, "stop": ["END"],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is it like?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}]},
        ],
    }
    message, reason, usage = said(client, stream, **ask)
    assert reason == "tool_calls", reason
    call = message["tool_calls"][0]
    assert call["function"]["name"] == "weather" and json.loads(call["function"]["arguments"]) == {"city": "İzmir"}, call
    assert message["reasoning_content"] == "hm"
    assert (usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens_details.cached_tokens) == (15, 5, 3), usage

    ask["messages"] += [message, {"role": "tool", "tool_call_id": call["id"], "content": "{\"sun\": true}"}]
    message, reason, _ = said(client, stream, **ask)
    assert (reason, message["content"]) == ("stop", "Güneşli \"bugün\"\n"), message
    sent = json.dumps(Upstream.seen[-1][1])
    assert SIGNATURE in sent, "the signature came back"

    schema = {"name": "s", "schema": {"type": "object", "properties": {"a": {"type": "string"}},
                                      "required": ["a"], "additionalProperties": False}}
    for more in ({"tool_choice": "none", "tools": TOOLS}, {"parallel_tool_calls": False, "tools": TOOLS, "tool_choice": "auto"},
                 {"response_format": {"type": "json_schema", "json_schema": schema}}, {"user": "u-1"}, {"web_search_options": {}}):
        said(client, stream, model=f"{provider}/m", messages=[{"role": "user", "content": "Hi"}], **more)


def main(gateway):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(config(f"http://127.0.0.1:{server.server_port}"))
        file.flush()
        process = subprocess.Popen([gateway, "--listen", "127.0.0.1:0", "--config", file.name],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = process.stdout.readline().split()[-1]
            client = OpenAI(base_url=f"{url}/v1", api_key="sk-demo", max_retries=0)
            for provider in ("anthropic", "gemini"):
                for stream in (False, True):
                    exchange(client, provider, stream)
                    print(f"ok  {provider} {'streamed' if stream else 'whole'}")
        finally:
            process.terminate()
            process.wait()
    if Upstream.faults:
        sys.exit("the SDK's types refuse what was sent:\n" + "\n".join(Upstream.faults))
    print(f"ok  {len(Upstream.seen)} requests are what the SDKs' types allow")


main(sys.argv[1])
