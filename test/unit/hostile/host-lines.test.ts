/** A hostile host, which writes marker lines that the remote script would not write, and asks for passwords. */
import { execPath } from "node:process";
import { beforeEach, expect, test, vi } from "vitest";
import { readConnection } from "../../../src/commands/options/read-connection.ts";
import { askPassword } from "../../../src/output/ask-password.ts";
import { outputTo } from "../../../src/output/output.ts";
import { runRemoteCommand } from "../../../src/remote/login/remote-command.ts";
import { MARKER } from "../../../src/remote/script/remote-lines.ts";
import { SUDO_PROMPT } from "../../../src/remote/script/shell-words.ts";
import { startRemoteProgram } from "../../../src/remote/start-remote-program.ts";
import type { RemoteProgram } from "../../../src/output/remote-programs.ts";
import type { HostConnection, TransferRequest } from "../../../src/request.ts";

vi.mock("../../../src/output/ask-password.ts", () => ({ askPassword: vi.fn<typeof askPassword>() }));
beforeEach(() => vi.mocked(askPassword).mockReset().mockResolvedValue("secret"));

interface HostOptions {
  programs?: RemoteProgram[];
  asksPassword?: boolean;
  acceptsCommand?: boolean;
  timeout?: number;
}

/** Runs a host that writes this and reads its stdin to the end. Returns the outcome, the requested images and the shown lines. */
async function host(code: string, options: HostOptions) {
  const { programs = ["installed", "node", "engine"], asksPassword = false, acceptsCommand = false } = options;
  const shown: string[] = [];
  const output = outputTo((event) => void (event.type === "remote" && shown.push(event.line)));
  const { signal } = new AbortController();
  const context = { output, signal, env: {} };
  const request = { role: "sender", timeout: options.timeout ?? 20_000 } as TransferRequest;
  const connection = { ...(readConnection(["ssh://prod"]) as HostConnection), programs };
  const command = [execPath, "-e", `process.stdin.resume(); ${code}`];
  const images: unknown[] = [];
  await using link = runRemoteCommand(
    command,
    { words: "prod", byHand: "ssh prod docker version", sudo: asksPassword ? {} : undefined },
    request,
    context,
  );
  const started = await startRemoteProgram(link, connection, request, {
    output,
    signal,
    acceptsCommand,
    sendImage: async (platform) => await Promise.resolve(images.push(platform) > 0),
    sentNode: {
      answer: async () => await Promise.resolve("no"),
      send: async () => await Promise.resolve(void images.push("Node")),
      skipped: () => {},
    },
  }).catch((error: unknown) => error);
  return { started, images, shown };
}

const lines = (...written: string[]): string =>
  `console.log(${JSON.stringify(written.map((line) => `${MARKER} ${line}`).join("\n"))})`;

test.each<[string, RemoteProgram[], string[]]>([
  ["a program that does not exist", ["node"], ["try perl /usr/bin/perl"]],
  ["a program that may not be tried", ["engine"], ["try installed /bin/docker-over-ssh"]],
  ["an engine that may not be used", ["node"], ["engine docker 1.48"]],
  ["the bundle before a program is tried", ["node"], ["send"]],
  ["the bundle for a program of its own", ["node"], ["try node-sent /tmp/node", "send"]],
  ["the bundle twice", ["node"], ["try node /bin/node", "send", "send"]],
  ["an image although no container may be tried", ["node"], ["image linux/amd64 node:24"]],
  ["an image twice", ["container"], ["image linux/amd64 node:24", "image linux/amd64 node:24"]],
  ["time for an image twice", ["container"], ["pull node:24", "pull node:24"]],
  ["Node although it may not be sent", ["node"], ["system Linux x86_64 64 glibc 2.36"]],
  ["the bytes of Node although it may not be sent", ["node"], ["send-node"]],
  ["Node twice", ["node-sent"], ["system Linux x86_64 64 musl", "system Linux aarch64 64 musl"]],
  ["the bytes of Node twice", ["node-sent"], ["send-node", "send-node"]],
  ["a line of its own", ["node"], [`format ${"x".repeat(5000)}`]],
])("rejects a host that requests %s", async (_, programs, written) => {
  const { started, images } = await host(lines(...written), { programs });
  expect(started).toMatchObject({ code: "remote-not-a-tunnel" });
  expect((started as Error).message).toContain("does not write at this point: ");
  expect((started as Error).message.length).toBeLessThan(400);
  expect(images.length).toBeLessThanOrEqual(1);
});

test("sends the bundle to another Node after the first one is skipped", async () => {
  const written = ["try node /a", "send", "pass node damaged", "try node /b", "send", "run sent"];
  const { started } = await host(lines(...written), { programs: ["node"] });
  expect(started).toEqual({ kind: "tunnel", program: "node" });
});

const question = `process.stderr.write("${SUDO_PROMPT}\\n");`;
const podman = lines("engine podman");

test("treats a question for a password as an ordinary line if no password has been offered", async () => {
  const { started, shown } = await host(`${question} process.stderr.write("end\\n", () => { ${podman} })`, {});
  expect(started).toEqual({ kind: "engine", program: "podman" });
  await vi.waitFor(() => expect(shown).toEqual([SUDO_PROMPT, "end"]));
  expect(askPassword).not.toHaveBeenCalled();
});

test("does not answer a fourth question for sudo's password", async () => {
  const third = `${question} process.stderr.write("end\\n", () => { ${podman} });`;
  const again = `let asked = 1; process.stdin.on("data", () => { if (asked++ < 3) { ${question} } else { ${third} } });`;
  const { started, shown } = await host(`${again} ${question}`, { asksPassword: true });
  expect(started).toEqual({ kind: "engine", program: "podman" });
  await vi.waitFor(() => expect(shown).toEqual([SUDO_PROMPT, "end"]));
  expect(askPassword).toHaveBeenCalledTimes(3);
});

test("does not answer a question for sudo's password after the remote side has started", async () => {
  const started = lines("try node /bin/node", "send", "run sent");
  const { shown } = await host(`process.stdin.on("end", () => { ${question} }); ${started}`, { asksPassword: true });
  expect(shown).toEqual([SUDO_PROMPT]);
  expect(askPassword).not.toHaveBeenCalled();
});

test.each([
  [true, /^Run `ssh prod docker version` .* write ssh prod docker system dial-stdio in place of the host\.$/],
  [false, /^Run the command by itself to see what it waits for\./],
])("suggests a command in place of a silent host only if one is accepted: %s", async (acceptsCommand, hint) => {
  const { started } = await host("", { acceptsCommand, timeout: 50 });
  expect(started).toMatchObject({ code: "remote-no-answer", hint: expect.stringMatching(hint) as string });
});
