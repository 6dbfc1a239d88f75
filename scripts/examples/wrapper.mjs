// A wrapper in another language: it starts the command `acp-bridge`, speaks ACP over its stdio, and
// shows who pays from `acp-bridge status --json`. Node 18 or newer, nothing to install.
//
//     node scripts/examples/wrapper.mjs "Say hello."
//
// The mode comes from the environment (ACP_BRIDGE_MODE, …), which the bridge reads by itself.

import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";

const COMMAND = "acp-bridge";
const prompt = process.argv.slice(2).join(" ") || "Say hello.";

// stdout is ACP and nothing else; what the bridge and the agent have to say is on stderr.
const bridge = spawn(COMMAND, [], { stdio: ["pipe", "pipe", "inherit"] });
const ended = new Promise((resolve, reject) => {
  bridge.on("error", reject); // not installed
  bridge.on("close", (status) => resolve(status ?? 1));
});
ended.catch((error) => {
  console.error(`error: ${COMMAND} could not be started: ${error.message}`);
  process.exit(127);
});

const open = new Map();
let lastId = 0;

function send(message) {
  bridge.stdin.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
}

function request(method, params) {
  const id = ++lastId;
  send({ id, method, params });
  return new Promise((resolve, reject) => open.set(id, { resolve, reject }));
}

function take(message) {
  if (message.method === undefined) {
    const { resolve, reject } = open.get(message.id);
    open.delete(message.id);
    return message.error ? reject(new Error(message.error.message)) : resolve(message.result);
  }
  const update = message.params?.update;
  if (update?.sessionUpdate === "agent_message_chunk") {
    process.stdout.write(update.content.text ?? "");
  } else if (message.method === "session/request_permission") {
    // A real wrapper would ask its user here.
    send({ id: message.id, result: { outcome: { outcome: "cancelled" } } });
  } else if (message.id !== undefined) {
    send({ id: message.id, error: { code: -32601, message: "this client offers no such method" } });
  }
}

// Long lines are normal in ACP (images); readline takes them whole.
createInterface({ input: bridge.stdout }).on("line", (line) => take(JSON.parse(line)));
// A bridge that ends answers what is open before it does; this is for one that was killed.
ended.then(() => open.forEach(({ reject }) => reject(new Error("the bridge ended"))));
bridge.stdin.on("error", () => {}); // it ended; `ended` tells

function showStatus(runId) {
  const text = execFileSync(COMMAND, ["status", "--json", "--run", runId], { encoding: "utf8" });
  const [run] = JSON.parse(text).bridges;
  console.log(`mode      ${run.mode} (${run.mode_letter}), guarantees ${run.guarantees}`);
  for (const { kind, value, source, verdict } of run.evidence) {
    console.log(`evidence  ${kind}: ${value} from ${source}, ${verdict}`);
  }
  for (const { reason, detail } of run.violations) console.log(`VIOLATION ${reason}: ${detail}`);
  for (const { session_id, usage } of run.sessions) {
    if (usage === null) continue; // nothing was counted, which is not the same as zero
    console.log(`usage     ${session_id}: ${JSON.stringify(usage)}`);
  }
}

let runId = null;
try {
  const agent = await request("initialize", { protocolVersion: 1, clientCapabilities: {} });
  console.log(`agent     ${agent.agentInfo.title}`);
  runId = agent._meta.acp_bridge.run_id;
  const session = await request("session/new", { cwd: process.cwd(), mcpServers: [] });
  const text = { type: "text", text: prompt };
  const turn = await request("session/prompt", { sessionId: session.sessionId, prompt: [text] });
  console.log(`\nturn      ${turn.stopReason}`);
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
bridge.stdin.end(); // the end of its input is the end of the bridge, and of the agent
process.exitCode ||= await ended;
if (runId !== null) showStatus(runId); // what was used is settled when the run has ended
