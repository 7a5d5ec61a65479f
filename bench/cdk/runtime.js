// The loop that Lambda's Node runs around a handler: asks for an event, posts what comes of it.
// Less than Lambda's own does, so that what is measured is the handler.
"use strict";
const http = require("http");
const agent = new http.Agent({ keepAlive: true });
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const { handler } = require(process.argv[2]);

function call(method, path, body) {
    return new Promise((resolve, reject) => {
        const request = http.request(
            { agent, host, port, method, path: `/2018-06-01/runtime/invocation/${path}` },
            (response) => {
                const parts = [];
                response.on("data", (part) => parts.push(part));
                response.on("end", () => resolve({ headers: response.headers, body: Buffer.concat(parts) }));
            },
        );
        request.on("error", reject);
        request.end(body);
    });
}

async function serve() {
    for (;;) {
        const { headers, body } = await call("GET", "next");
        const id = headers["lambda-runtime-aws-request-id"];
        try {
            const result = await handler(JSON.parse(body));
            await call("POST", `${id}/response`, JSON.stringify(result ?? null));
        } catch (error) {
            await call("POST", `${id}/error`, JSON.stringify({ errorMessage: String(error) }));
        }
    }
}

serve().catch(() => process.exit(1));
