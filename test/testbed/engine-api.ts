import { request } from "node:http";

/** Sends a request to the engine's HTTP API. It does not use the product's client, because a test should not trust the code under test. */
export async function askEngine(socketPath: string, path: string): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const asked = request({ socketPath, path, timeout: 30_000 }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk));
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(`GET ${path}: ${response.statusCode} ${body}`));
      });
    });
    asked.on("timeout", () => asked.destroy(new Error(`GET ${path}: no answer for 30 s`)));
    asked.on("error", reject);
    asked.end();
  });
}

/** Returns whether an engine answers on the socket. */
export async function answers(socketPath: string): Promise<boolean> {
  return await askEngine(socketPath, "/_ping").then(
    () => true,
    () => false,
  );
}
