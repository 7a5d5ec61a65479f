// Evaluates what the local AWS evaluated once more, by the implementation that AWS names: JSONata 2.0.6.
//
//     node replay.mjs FILE...     files of JSON lines that emulator.py wrote
//
// Fails where a result differs, or where nothing was recorded. A time, a random number and a UUID are
// compared by their form. Where one implementation fails, the other must fail too.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";
import jsonata from "jsonata";

const SHOWN = 5;
const CHANGES = /\$(now|millis|random|uuid|shuffle)\b/;
const HASHES = new Set(["MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512"]);

// The functions that Step Functions adds; integers are rounded down.
function register(expression) {
  expression.registerFunction("partition", (array, size) => {
    const [length, parts] = [Math.floor(size), []];
    if (!(length > 0)) throw new Error("$partition: the size must be a positive integer");
    for (let start = 0; start < array.length; start += length) parts.push(array.slice(start, start + length));
    return parts;
  });
  expression.registerFunction("range", (start, end, step) => {
    const [first, last, by] = [start, end, step].map(Math.floor);
    if (!by) throw new Error("$range: the step must be an integer other than 0");
    const values = [];
    for (let value = first; by > 0 ? value <= last : value >= last; value += by) values.push(value);
    return values;
  });
  expression.registerFunction("hash", (text, algorithm) => {
    if (typeof text !== "string" || !HASHES.has(algorithm)) throw new Error("$hash: a string and an algorithm");
    return createHash(algorithm.replace("-", "")).update(text, "utf8").digest("hex");
  });
  expression.registerFunction("random", () => Math.random());
  expression.registerFunction("uuid", () => crypto.randomUUID());
  expression.registerFunction("parse", (text) => JSON.parse(text));
  // Step Functions has `$parse` in its place.
  expression.registerFunction("eval", () => {
    throw new Error("$eval is not supported");
  });
}

const compiled = new Map();

// The result, as JSON can hold it; undefined where the evaluation failed or had none.
async function evaluate({ expression, states, variables }) {
  try {
    if (!compiled.has(expression)) {
      compiled.set(expression, jsonata(expression));
      register(compiled.get(expression));
    }
    const result = await compiled.get(expression).evaluate(undefined, { ...variables, states });
    const text = JSON.stringify(result);
    return { result: text === undefined ? undefined : JSON.parse(text) };
  } catch (error) {
    return { result: undefined, error };
  }
}

function form(value) {
  if (Array.isArray(value)) return value.map(form);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, form(of)]));
  }
  return typeof value === "string" ? value.replace(/[0-9a-f]/g, "0") : typeof value;
}

const differences = [];
let count = 0;
for (const file of process.argv.slice(2)) {
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const recorded = JSON.parse(line);
    const { result, error } = await evaluate(recorded);
    const changes = CHANGES.test(recorded.expression) ? form : (value) => value;
    const expected = "error" in recorded ? undefined : changes(recorded.result);
    count += 1;
    if (!isDeepStrictEqual(expected, result === undefined ? undefined : changes(result))) {
      differences.push({ ...recorded, jsonata: error ? String(error.message ?? error) : result });
    }
  }
}

for (const { expression, states, variables, result, error, jsonata: other } of differences.slice(0, SHOWN)) {
  console.error(`\n${expression}`);
  console.error(`  with  ${JSON.stringify({ states, ...variables }).slice(0, 2000)}`);
  console.error(`  local AWS:     ${error ?? JSON.stringify(result)}`);
  console.error(`  JSONata 2.0.6: ${typeof other === "string" ? other : JSON.stringify(other)}`);
}
if (differences.length) {
  console.error(`\n${differences.length} of ${count} evaluations differ from JSONata 2.0.6`);
  process.exit(1);
}
if (!count) {
  console.error("no evaluation was recorded: run the tests of tests/fleet first");
  process.exit(1);
}
console.log(`${count} evaluations of ${compiled.size} expressions are the same in JSONata 2.0.6`);
