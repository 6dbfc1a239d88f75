// Reads lines as the real ACP adapter does, with the adapter's own SDK.
//
// argv: the folder of the SDK's `core` modules. stdin: one base64 text a line, each the bytes of one
// stream. stdout: one JSON document a line, what the adapter makes of that stream.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const core = (name) => import(pathToFileURL(join(process.argv[2], name)).href);
const { ndJsonStream } = await core("stream.js");
const { isRequestMessage, isNotificationMessage, isResponseShapedMessage } =
  await core("jsonrpc.js");

function kindOf(message) {
  if (isRequestMessage(message)) return "REQUEST";
  if (isNotificationMessage(message)) return "NOTIFICATION";
  return isResponseShapedMessage(message) ? "RESPONSE" : "INVALID";
}

function reading(message) {
  const options = message.params?._meta?.claudeCode?.options;
  return {
    kind: kindOf(message),
    method: typeof message.method === "string" ? message.method : null,
    id: "id" in message ? JSON.stringify(message.id) : null,
    methodId: typeof message.params?.methodId === "string" ? message.params.methodId : null,
    env: options?.env ? Object.keys({ ...options.env }) : [],
    hasSettings: Boolean(options?.settings),
    helper: options?.settings?.apiKeyHelper ?? null,
  };
}

async function read(bytes) {
  const replies = [];
  const input = new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
  const output = new WritableStream({
    write(chunk) {
      replies.push(JSON.parse(new TextDecoder().decode(chunk)).error.code);
    },
  });
  const messages = [];
  for await (const message of ndJsonStream(output, input).readable) {
    messages.push(reading(message));
  }
  return { messages, replies };
}

for await (const line of createInterface({ input: process.stdin })) {
  const bytes = new Uint8Array(Buffer.from(line, "base64"));
  process.stdout.write(JSON.stringify(await read(bytes)) + "\n");
}
