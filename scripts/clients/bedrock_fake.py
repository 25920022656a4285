"""A fake Bedrock that checks each signature and each request with botocore, and its own frames too.

It answers Converse and ConverseStream with what the fixtures hold, after botocore's parsers have
read them by the service's own model.
"""

import io
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStream
from botocore.parsers import EventStreamJSONParser, RestJSONParser
from botocore.validate import ParamValidator

REGION, KEY = "eu-west-1", Credentials("AKIDEXAMPLE", "hush/+secret", "tok/en+==")
STREAM = open("tests/fixtures/converse.eventstream", "rb").read()
WHOLE = open("tests/fixtures/converse.json", "rb").read()
MODEL = botocore.session.get_session().get_service_model("bedrock-runtime")


class Raw(io.BytesIO):
    def stream(self, *_):
        yield self.read()


def check_fixtures():
    shape = MODEL.operation_model("ConverseStream").output_shape.members["stream"]
    stream = EventStream(Raw(STREAM), shape, EventStreamJSONParser(), "ConverseStream")
    events = [next(iter(event.items())) for event in stream]
    assert [name for name, _ in events] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ], events
    text = "".join(event["delta"]["text"] for name, event in events if name == "contentBlockDelta")
    assert text == "Hello", events
    assert events[-1][1]["usage"]["inputTokens"] == 4, events
    response = {"body": WHOLE, "headers": {}, "status_code": 200}
    parsed = RestJSONParser().parse(response, MODEL.operation_model("Converse").output_shape)
    assert parsed["output"]["message"]["content"][0]["text"] == "Hello", parsed
    assert parsed["stopReason"] == "end_turn" and parsed["usage"]["outputTokens"] == 2, parsed


def signature(url, body, headers):
    """What botocore signs for the same request at the same time."""
    request = AWSRequest("POST", url, {"content-type": headers["content-type"]}, body)
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(KEY, "bedrock", REGION)
    auth._modify_request_before_signing(request)
    canonical = auth.canonical_request(request)
    signed = auth.signature(auth.string_to_sign(request, canonical), request)
    names = auth.signed_headers(auth.headers_to_sign(request))
    return (
        f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, Signature={signed}"
    )


def faults(body):
    """What the service's own model says against a request."""
    shape = MODEL.operation_model("Converse").input_shape
    report = ParamValidator().validate({"modelId": "m", **body}, shape)
    unknown = [] if not report.has_errors() else [report.generate_report()]
    for turn in body["messages"]:
        unknown += [f"an empty turn: {turn}"] if not turn["content"] else []
    return unknown


class Fake(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        expected = signature(f"http://{self.headers['host']}{self.path}", body, self.headers)
        same = self.headers["authorization"] == expected
        wrong = faults(json.loads(body))
        if wrong:
            print(f"refused: {wrong}\n{body.decode()}", file=sys.stderr)
            self.answer(400, "application/json", b'{"message":"The request is none of the service"}')
        elif not same:
            print(f"wrong: {self.headers['authorization']}\nright: {expected}", file=sys.stderr)
            self.answer(403, "application/json", b'{"message":"The signature does not match"}')
        elif self.path.endswith("/converse-stream"):
            self.answer(200, "application/vnd.amazon.eventstream", STREAM)
        else:
            self.answer(200, "application/json", WHOLE)

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


check_fixtures()
server = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
