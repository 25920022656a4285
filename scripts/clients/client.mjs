// The official Node client against the gateway: answers, streams and every class of error.
import assert from "node:assert/strict";
import OpenAI from "openai";

const baseURL = process.argv[2] + "/v1";
const client = (apiKey = "sk-demo") => new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const messages = [{ role: "user", content: "Merhaba dünya, nasılsın?" }];
const ask = (fields = {}, key) =>
  client(key).chat.completions.create({ model: "mock/echo", messages, ...fields });

const refused = async (status, code, fields = {}, key) => {
  await assert.rejects(
    async () => ask(fields, key),
    (error) => {
      assert.equal(error.status, status);
      assert.equal(error.code, code);
      return true;
    },
  );
};

const answer = await ask();
assert.match(answer.choices[0].message.content, /Merhaba dünya/);
assert.equal(answer.model, "mock/echo");

for (const usage of [false, true]) {
  const stream = await ask({ stream: true, ...(usage ? { stream_options: { include_usage: true } } : {}) });
  let text = "";
  let last;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    last = chunk;
  }
  assert.match(text, /Merhaba dünya/);
  assert.equal(last.usage != null, usage);
}

const ids = [];
for await (const model of client().models.list()) ids.push(model.id);
assert.ok(ids.includes("mock/echo"));

await refused(401, "invalid_api_key", {}, "sk-wrong");
await refused(400, "invalid_value", { temperature: 3 });
await refused(402, "insufficient_balance", {}, "sk-poor");
await refused(403, "model_not_allowed", {}, "sk-narrow");
await refused(404, "model_not_found", { model: "nobody/knows" });
await refused(429, "upstream_rate_limited", { model: "mock/rate-limited" });
await refused(502, "bad_upstream_response", { model: "mock/error" });
await refused(503, "upstream_overloaded", { model: "mock/overloaded" });

await assert.rejects(async () => {
  for await (const chunk of await ask({ model: "mock/cut", stream: true })) void chunk;
});

console.log("node: ok");
