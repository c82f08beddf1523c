import { spawnSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { execa } from "execa";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { parseWords } from "../../../server/src/commands/option.ts";
import { readSettings } from "../../../server/src/commands/read-settings.ts";
import { SERVE, type ServeOptions } from "../../../server/src/commands/serve-options.ts";
import { TOKEN, type TokenOptions } from "../../../server/src/commands/token-options.ts";
import type { ServeSettings } from "../../../server/src/settings.ts";
import { parseCommandLine } from "../../../src/cli.ts";
import { StandIn } from "../publish/stand-in.ts";
import { example } from "./stand-ins.ts";

const read = (name: string): string => readFileSync(example(`serve/${name}`), "utf8");
const page = readFileSync(join(import.meta.dirname, "../../../docs/serve.md"), "utf8");

/** Parses words like `serve`. */
function settingsOf(words: readonly string[], env: NodeJS.ProcessEnv = {}): ServeSettings {
  const parsed = parseWords<ServeOptions>(SERVE, words, () => {});
  if (parsed === undefined) throw new Error("no options");
  expect(parsed.words).toEqual([]);
  return readSettings(parsed.options, env);
}

describe("docker-over-ssh-serve.service", () => {
  const unit = read("docker-over-ssh-serve.service");
  const [, command = ""] = /^ExecStart=\S+\/docker-over-ssh serve ((?:.*\\\n)*.*)$/m.exec(unit) ?? [];
  const settings = settingsOf(command.replaceAll("\\\n", " ").trim().split(/\s+/));

  test("has options that serve accepts", () => {
    expect(settings).toMatchObject({
      listen: { kind: "tcp", host: "127.0.0.1", port: 8080 },
      role: "both",
      tokenFile: "/etc/docker-over-ssh-serve/tokens.json",
      keyFile: "%d/key",
    });
  });

  test("gives the service the time of --grace, the credentials that it reads, and a writable folder", () => {
    expect(1000 * Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(settings.grace);
    for (const file of [settings.keyFile, settings.webhookSecretFile])
      expect(unit).toContain(`\nLoadCredential=${file?.replace("%d/", "")}:/etc/docker-over-ssh-serve/`);
    expect(command).toContain("--data %S/docker-over-ssh-serve ");
    expect(unit).toContain("\nStateDirectory=docker-over-ssh-serve\n");
  });
});

describe("compose.yaml", () => {
  interface Service {
    command?: string[];
    environment?: Record<string, string>;
    secrets?: string[];
    volumes?: string[];
    networks: string[];
    ports?: string[];
    stop_grace_period?: string;
    user?: string;
  }
  const { services, volumes, secrets, networks } = parse(read("compose.yaml"), { merge: true }) as {
    services: Record<"server" | "worker" | "redis" | "engine" | "proxy", Service>;
    volumes: object;
    secrets: object;
    networks: Record<string, { internal?: boolean } | null>;
  };
  const { server, worker, redis, engine, proxy } = services;
  const [ofServer, ofWorker] = [server, worker].map(({ command, environment }) =>
    settingsOf(command ?? [], environment),
  );

  test("has options that serve accepts, and one location for the data that the server and the workers share", () => {
    expect([ofServer?.role, ofWorker?.role]).toEqual(["api", "worker"]);
    expect(ofServer).toMatchObject({ redis: "redis://redis:6379", data: ofWorker?.data, keyFile: ofWorker?.keyFile });
    expect(worker.stop_grace_period).toBe("90s");
    expect(ofWorker?.grace).toBeLessThan(90_000);
    expect(redis.command?.join(" ")).toContain("--appendonly yes --maxmemory-policy noeviction");
  });

  test("mounts the files that it names, and declares the volumes that it mounts", () => {
    for (const { volumes: mounted = [], secrets: given = [], networks: joined } of Object.values(services)) {
      const named = mounted.map((volume) => volume.split(":")[0] ?? "").filter((name) => !/^[./]/.test(name));
      for (const name of named) expect(volumes).toHaveProperty([name]);
      for (const name of given) expect(secrets).toHaveProperty([name]);
      for (const name of joined) expect(networks).toHaveProperty([name]);
    }
    for (const [settings, { secrets: given = [] }] of [[ofServer, server] as const, [ofWorker, worker] as const]) {
      const files = [settings?.tokenFile, settings?.keyFile, settings?.webhookSecretFile].filter(Boolean);
      expect(files.map((file) => file?.replace("/run/secrets/", "")).toSorted()).toEqual(given.toSorted());
    }
  });

  test("the workers use the engine's socket, and the proxy uses the server's socket, each as the owner of the socket", () => {
    const [socket = ""] = ofWorker?.engines ?? [];
    expect(engine.command).toContain(`--host=${socket}`);
    expect(engine.command).toContain("--group=1000");
    const { listen } = ofServer ?? {};
    expect(read("nginx.conf")).toContain(`server unix:${listen?.kind === "unix" ? listen.path : ""};`);
    expect(proxy.user).toBe("1000:1000");
  });

  test("builds reach neither Redis nor a port of the server", () => {
    expect(redis.networks).toEqual(["inside"]);
    expect(networks["inside"]).toEqual({ internal: true });
    expect(engine.networks).not.toContain("inside");
    expect(Object.entries(services).flatMap(([name, { ports }]) => (ports === undefined ? [] : [name]))).toEqual([
      "proxy",
    ]);
  });

  test("the Dockerfile creates the folders to which the programs write", () => {
    const made = /mkdir (.*?) \\/.exec(read("Dockerfile"))?.[1]?.split(" ");
    expect(made).toEqual(expect.arrayContaining(["/data", "/cache", "/listen", "/engine"]));
  });
});

test("nginx.conf passes uploads and streams on at once, and drops the addresses that clients claim", () => {
  const conf = read("nginx.conf");
  for (const line of [
    "proxy_request_buffering off;",
    "proxy_buffering off;",
    "proxy_set_header X-Forwarded-For $remote_addr;",
  ])
    expect(conf).toContain(line);
  // The default of --max-upload
  const [, size = ""] = /client_max_body_size (\d+)g;/.exec(conf) ?? [];
  expect(Number(size) * 1024 ** 3).toBe(settingsOf([]).upload.maxBody);
});

const hasPrograms = ["bash", "curl", "jq", "git"].every((name) => spawnSync(name, ["--version"]).status === 0);
if (!hasPrograms) console.info("The step of GitHub Actions is not run: bash, curl, jq or git is missing");

describe("build.yml", { skip: !hasPrograms }, () => {
  interface Workflow {
    jobs: { build: { steps: { run?: string; env?: Record<string, string> }[] } };
  }
  const step = (parse(read("build.yml")) as Workflow).jobs.build.steps.find(({ run }) => run !== undefined);
  const folder = mkdtempSync(join(tmpdir(), "serve-step-"));
  const git = (...words: string[]) => spawnSync("git", ["-C", folder, ...words]);
  writeFileSync(join(folder, "Dockerfile"), "FROM scratch\n");
  git("init", "--quiet");
  git("add", ".");
  git("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "a");
  mkdirSync(join(folder, "temp"));
  afterAll(() => rmSync(folder, { recursive: true }));

  let server: StandIn;
  beforeEach(async () => {
    server = await StandIn.start();
    return async () => await server[Symbol.asyncDispose]();
  });

  const start = () => {
    const image = step?.env?.["IMAGE"]?.replace("${{ github.sha }}", "abc");
    const env = {
      SERVER: server.url,
      TOKEN: "dos_secret",
      IMAGE: image,
      KEY: "1-1",
      RUNNER_TEMP: join(folder, "temp"),
    };
    return execa("bash", ["-c", step?.run ?? ""], { cwd: folder, env, reject: false, stdin: "ignore", all: true });
  };

  test("sends the commit, shows the log, and succeeds", async () => {
    server.onAccepted = (build) => {
      server.log(build, "#1 FROM scratch", "#1 DONE");
      server.end(build, { state: "succeeded", digest: "sha256:abc" });
    };
    const { exitCode, all } = await start();
    expect(all?.split("\n")).toEqual([
      `${server.url}/api/v2/builds/build-1`,
      "#1 FROM scratch",
      "#1 DONE",
      "sha256:abc",
    ]);
    expect(exitCode).toBe(0);
    expect(server.builds[0]).toMatchObject({ key: "1-1", fields: { name: "registry.example.com/team/app:abc" } });
    expect(gunzipSync(server.builds[0]?.archive ?? Buffer.alloc(0)).toString()).toContain("FROM scratch");
    expect([...server.authorizations]).toEqual(["Bearer dos_secret"]);
  });

  test("fails with the reason if the build fails", async () => {
    server.onAccepted = (build) => server.end(build, { state: "failed", reason: { message: "step 2 failed" } });
    const { exitCode, all } = await start();
    expect([exitCode, all?.split("\n").at(-1)]).toEqual([1, "step 2 failed"]);
  });

  test("shows why the server rejected the build", async () => {
    server.hooks.push((request, response) => {
      request.resume();
      response.writeHead(403, { "content-type": "application/problem+json" }).end('{"detail": "not this name"}');
      return true;
    });
    const { exitCode, all } = await start();
    expect(exitCode).not.toBe(0);
    expect(all).toContain("not this name");
  });

  test("cancels the build if the job is cancelled", async () => {
    const running = start();
    server.onAccepted = (build) => server.log(build, "a");
    running.stdout.on("data", (text: Buffer) => void (text.toString().includes("a\n") && running.kill("SIGTERM")));
    expect((await running).exitCode).toBe(1);
    expect(server.builds[0]?.cancelled).toBe(1);
  });
});

describe("docs/serve.md", () => {
  const shell = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, text = ""]) => text).join("");
  const linesOf = (command: string): string[][] =>
    [...shell.matchAll(new RegExp(`docker-over-ssh ${command}( [^#\n|]*)?(?:#.*)?$`, "gm"))].map(([, words = ""]) =>
      words.trim().split(/\s+/).filter(Boolean),
    );

  test("its command lines are valid", async () => {
    const ignore = { out: () => {}, err: () => {} };
    const ofPublish = linesOf("publish");
    expect(ofPublish.length).toBeGreaterThan(2);
    for (const words of ofPublish)
      expect(await parseCommandLine(["node", "docker-over-ssh", "publish", ...words], {}, ignore)).toHaveProperty(
        "job",
      );
    const ofServe = linesOf("serve").filter(([first]) => first !== "token");
    expect(ofServe.length).toBeGreaterThan(1);
    for (const words of ofServe) settingsOf(words);
    for (const [, ...words] of linesOf("serve").filter(([first]) => first === "token"))
      expect(parseWords<TokenOptions>(TOKEN, words, () => {})?.words).toHaveLength(1);
  });

  test("its table of limits has the options and defaults of serve", () => {
    const rows = [...page.matchAll(/^\| (`--[\w-]+ \w+`(?:, `--[\w-]+ \w+`)*) \| ([\w, ]+) \|/gm)];
    expect(rows.length).toBeGreaterThan(5);
    for (const [, options = "", values = ""] of rows) {
      const names = [...options.matchAll(/--[\w-]+/g)].map(([name]) => name);
      const words = names.flatMap((name, index) => [name, values.split(", ")[index] ?? ""]);
      expect(settingsOf(words)).toEqual(settingsOf([]));
    }
  });

  test("its receiver of webhooks accepts only signed requests", async () => {
    const [, code = ""] = /^```js\n([\s\S]*?)^```/m.exec(page) ?? [];
    const { isGenuine } = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as {
      isGenuine: (headers: Record<string, string>, body: Buffer, secret: string) => boolean;
    };
    const key = randomBytes(32);
    const secret = `whsec_${key.toString("base64")}`;
    const body = Buffer.from('{"state":"succeeded"}');
    const at = Math.floor(Date.now() / 1000);
    /** The signature that Standard Webhooks 1.0.0 defines */
    const headers = (timestamp: number, signed = body): Record<string, string> => ({
      "webhook-id": "msg_1",
      "webhook-timestamp": String(timestamp),
      "webhook-signature": `v1,${createHmac("sha256", key).update(`msg_1.${timestamp}.${signed.toString()}`).digest("base64")}`,
    });
    expect(isGenuine(headers(at), body, secret)).toBe(true);
    expect(
      isGenuine({ ...headers(at), "webhook-signature": `v1,AAAA ${headers(at)["webhook-signature"]}` }, body, secret),
    ).toBe(true);
    expect(isGenuine(headers(at), Buffer.from('{"state":"failed"}'), secret)).toBe(false);
    expect(isGenuine(headers(at - 3600), body, secret)).toBe(false);
    expect(isGenuine({ ...headers(at), "webhook-timestamp": String(at + 1) }, body, secret)).toBe(false);
    expect(isGenuine({ ...headers(at), "webhook-id": "msg_2" }, body, secret)).toBe(false);
    expect(isGenuine({}, body, secret)).toBe(false);
    expect(isGenuine(headers(at), body, `whsec_${randomBytes(32).toString("base64")}`)).toBe(false);
  });
});
