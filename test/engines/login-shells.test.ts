import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { findProgram } from "../testbed/programs.ts";
import { startTestbed } from "../testbed/start.ts";
import { PASSWORD, PROGRAMS, startLoginHost, type LoginHost, type LoginUser } from "../testbed/login-host.ts";
import { bed, done, dos, why, type Run } from "./bed.ts";

/** The image that every test pushes, under a name of its own. */
const IMAGE = "login-shells:v1";

/** The startup file with a banner for each login shell. dash and ash read none for commands, so sshd runs ~/.ssh/rc for them. */
const GREETING = 'echo "Welcome to far"\n';
const SHELLS: Record<string, Record<string, string>> = {
  bash: { ".bashrc": `set -u\n${GREETING}` },
  dash: { ".ssh/rc": GREETING },
  zsh: { ".zshenv": GREETING },
  fish: { ".config/fish/config.fish": GREETING },
  csh: { ".cshrc": GREETING },
  tcsh: { ".tcshrc": GREETING },
  ash: { ".ssh/rc": GREETING },
};

/** Folders in which users often have programs that the PATH of their login lacks. */
const links = { ".local/bin/docker": `${PROGRAMS.docker}/docker`, ".nvm/versions/node/v24.0.0/bin": PROGRAMS.node };

/** Users without access to the engine's socket, and the commands that sudo allows them. */
const SUDOERS: LoginUser[] = Object.entries({
  all: "ALL = NOPASSWD: ALL",
  docker: `ALL = NOPASSWD: ${PROGRAMS.docker}/docker`,
  "docker-or-password": `ALL = (ALL) ALL, NOPASSWD: ${PROGRAMS.docker}/docker`,
  password: "ALL = (ALL) ALL",
}).map(([name, sudo]) => ({ name: `sudo-${name}`, needsSudo: true, sudo, links }));

const DIAL = `${PROGRAMS.docker}/docker system dial-stdio`;

/** Users whose login always runs the same command. */
const BOUND: LoginUser[] = [
  { name: "wrapped", forced: 'echo Welcome; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"', links },
  { name: "pulls", forced: `${PROGRAMS["docker-over-ssh"]} pull login-shells:forced` },
  { name: "dials", forced: DIAL },
  { name: "may-dial", forced: `[ "$SSH_ORIGINAL_COMMAND" = "docker system dial-stdio" ] && exec ${DIAL}; exit 9` },
];

/** Users with an unusual setup. */
const ODD: LoginUser[] = [
  { name: "bare" },
  { name: "no-node", links: { ".local/bin/docker": `${PROGRAMS.docker}/docker` } },
  { name: "noexec", noexec: true, files: { ".local/bin/node": "#!/bin/sh\necho it ran\n" } },
  { name: "no-path", forced: 'unset HOME; PATH=""; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"' },
];

let host: LoginHost;

beforeAll(async () => {
  if (why) return;
  await buildImage(bed.near, IMAGE, [{ name: "login-shells", bytes: 10_000 }]);
  const shells = await Promise.all(
    Object.entries(SHELLS).map(async ([name, files]): Promise<LoginUser> => {
      if (name === "ash")
        return { name, files, links: { ...links, ash: await pathOf("busybox") }, shell: "/home/ash/ash" };
      return { name, files, links, shell: await pathOf(name) };
    }),
  );
  host = await startLoginHost(bed, [...shells, { name: "plain", links }, ...BOUND, ...ODD, ...SUDOERS]);
});

afterAll(async () => {
  if (why) return;
  await host?.[Symbol.asyncDispose]();
  await bed.near.docker("rmi", IMAGE);
  const { references } = await bed.far.listing();
  const ours = references.filter((name) => name.startsWith("login-shells:"));
  if (ours.length > 0) await bed.far.docker("rmi", ...ours);
});

async function pathOf(program: string): Promise<string> {
  const path = await findProgram(program);
  if (path === undefined) throw new Error(`there is no ${program}`);
  return path;
}

let pushes = 0;

/** Pushes the image under a new name. Returns the outcome, and whether the far engine has the image. */
async function push(location: string, ...options: string[]): Promise<Run & { arrived: boolean }> {
  const name = `login-shells:run-${++pushes}`;
  const run = await dos(["push", "--verbose", ...options, "--as", name, IMAGE, location], { env: host.env });
  return { ...run, arrived: await hasArrived(name) };
}

async function hasArrived(name: string): Promise<boolean> {
  return (await bed.far.listing()).references.includes(name);
}

describe.skipIf(why)(
  `through a login shell that prints, and has neither docker nor node in its PATH ${why ?? ""}`,
  () => {
    test.each(Object.keys(SHELLS))("%s: by node, in the folder of nvm", async (shell) => {
      const run = await push(`ssh://${shell}@login`, "--far", "node");
      expect(run).toEqual({ ...done, arrived: true });
      expect(run.stderr).toContain("the login shell printed: Welcome to far\n");
      expect(run.stderr).toContain(`remote side: docker-over-ssh on ssh://${shell}@login, sent to the Node there\n`);
    });

    test.each(Object.keys(SHELLS))("%s: by the engine alone, with docker in ~/.local/bin", async (shell) => {
      const run = await push(`ssh://${shell}@login`, "--far", "engine");
      expect(run).toEqual({ ...done, arrived: true });
      expect(run.stderr).toContain("the login shell printed: Welcome to far\n");
      expect(run.stderr).toContain("remote side: docker system dial-stdio");
    });

    test("finds node in the folder of --far-path", async () => {
      const location = "ssh://bare@login";
      const without = await push(location, "--far", "node");
      expect(without).toMatchObject({ exitCode: 5, arrived: false });
      expect(without.stderr).toContain("no program on ssh://bare@login can run the remote side: node: not found");
      expect(await push(location, "--far", "node", "--far-path", PROGRAMS.node)).toEqual({ ...done, arrived: true });
    });
  },
);

type Answer = readonly [question: string, answer: string | (() => Promise<string>)];

async function commandLinesWith(text: string): Promise<string> {
  return (await execa({ reject: false })`pgrep -fa ${text}`).stdout;
}

/**
 * Runs the command on a terminal, also where CI runs the tests. Types each answer when the screen shows its question. Returns all that the screen
 * has shown.
 */
async function onTerminal(args: readonly string[], answers: readonly Answer[], env = host.env) {
  const command = ["docker-over-ssh", ...args].map((word) => `'${word}'`).join(" ");
  const run = execa({ reject: false, env: { ...env, CI: "" }, stdin: "pipe" })`script -qefc ${command} /dev/null`;
  const open = [...answers];
  let [screen, read] = ["", 0];
  run.stdout.on("data", (chunk: Buffer) => {
    screen += chunk.toString();
    const [question, answer] = open[0] ?? [];
    if (question === undefined || !screen.includes(question, read)) return;
    read = screen.length;
    open.shift();
    void Promise.resolve(typeof answer === "function" ? answer() : answer).then((text) => run.stdin.write(`${text}\n`));
  });
  const { exitCode } = await run;
  return { exitCode, screen, unanswered: open.length };
}

/** Pushes the image from a terminal. */
async function pushOnTerminal(location: string, options: string[], answers: readonly Answer[]) {
  const name = `login-shells:run-${++pushes}`;
  const run = await onTerminal(["push", "--verbose", ...options, "--as", name, IMAGE, location], answers);
  const questions = answers.map(([question]) => question);
  const questionsShown = run.screen.split(questions[0] ?? "").length - 1;
  expect(run.screen).not.toContain(PASSWORD);
  return { exitCode: run.exitCode, arrived: await hasArrived(name), questionsShown, screen: run.screen };
}

describe.skipIf(why)("--sudo", () => {
  test("as root, docker-over-ssh reaches an engine that the user may not use", async () => {
    const refused = await push("ssh://sudo-all@login", "--far", "node");
    expect(refused).toMatchObject({ exitCode: 5, arrived: false });
    expect(refused.stderr).toMatch(/can run the remote side: node: this user may not use \/.*\n.*\n.*or use --sudo/);
    const run = await push("ssh://sudo-all@login", "--sudo", "--far", "node");
    expect(run).toEqual({ ...done, arrived: true });
    expect(run.stderr).toContain("docker-over-ssh on ssh://sudo-all@login, sent to the Node there");
  });

  test.each(["docker", "docker-or-password"])(
    "%s: only docker runs as root where only that needs no password",
    async (user) => {
      const run = await push(`ssh://sudo-${user}@login`, "--sudo");
      expect(run).toEqual({ ...done, arrived: true });
      expect(run.stderr).toMatch(/node cannot be used: sudo wants a password for .*\/bin\/node\n/);
      expect(run.stderr).toContain("remote side: docker system dial-stdio");
    },
  );

  const location = "ssh://sudo-password@login";
  const question = `[sudo] password for the remote side of ${location}: `;

  test("asks for a password on the terminal, once", async () => {
    const run = await pushOnTerminal(location, ["--sudo"], [[question, PASSWORD]]);
    expect(run).toMatchObject({ exitCode: 0, arrived: true, questionsShown: 1 });
    expect(run.screen).toContain("sent to the Node there");
  });

  test("asks again after a wrong password, which no command line contains", async () => {
    const wrong = "battery staple";
    let commandLines: string | undefined;
    const run = await pushOnTerminal(
      location,
      ["--sudo"],
      [
        [question, wrong],
        [question, async () => ((commandLines = await commandLinesWith(wrong)), PASSWORD)],
      ],
    );
    expect(run).toMatchObject({ exitCode: 0, arrived: true, questionsShown: 2 });
    expect(run.screen).toContain("remote: Sorry, try again.");
    expect(run.screen).not.toContain(wrong);
    expect(commandLines).toBe("");
  });

  test("fails after two wrong passwords", async () => {
    const wrong = [question, "wrong"] as const;
    const run = await pushOnTerminal(location, ["--sudo"], [wrong, wrong]);
    expect(run).toMatchObject({ exitCode: 4, arrived: false, questionsShown: 2 });
    expect(run.screen).toContain("the password that sudo asks for");
  });

  /** Expects that neither the near ssh nor the session on the host, in which sudo has waited for a password, is left. */
  async function expectNoSession(): Promise<void> {
    const sessions = `${bed.folder}/login/config -l sudo-password|sshd.*: sudo-password@`;
    await expect.poll(async () => await commandLinesWith(sessions), { timeout: 20_000 }).toBe("");
  }

  test("fails when Ctrl-C is typed instead", async () => {
    const run = await pushOnTerminal(location, ["--sudo"], [[question, "\u0003"]]);
    expect(run).toMatchObject({ exitCode: 4, arrived: false, questionsShown: 1 });
    expect(run.screen).toContain("no password was typed");
    await expectNoSession();
  });

  test("fails without a terminal", async () => {
    const args = ["push", "--sudo", "--as", "login-shells:none", IMAGE, location];
    // A detached process has no terminal, even if the tests run on one.
    const run = await execa("docker-over-ssh", args, { reject: false, env: host.env, stdin: "ignore", detached: true });
    expect(run.exitCode).toBe(4);
    expect(run.stderr).toContain("the remote side asks for a password, and there is no terminal to type it on");
    expect(await hasArrived("login-shells:none")).toBe(false);
    await expectNoSession();
  });
});

describe.skipIf(why)("a host without Node, named without ssh://", () => {
  const nowhere = ["--far-image", "127.0.0.1:1/nowhere"];
  const question = "no Node on login can run docker-over-ssh: send one, ";

  test("gets Node if the user answers the question on the terminal with yes", async () => {
    const run = await pushOnTerminal("no-node@login", nowhere, [[question, "y"]]);
    expect(run).toMatchObject({ exitCode: 0, arrived: true, questionsShown: 1 });
    expect(run.screen).toContain("docker-over-ssh on no-node@login, sent with Node");
  });

  test("without a terminal: no question is printed, and the engine alone is used", async () => {
    const run = await push("no-node@login", ...nowhere);
    expect(run).toEqual({ ...done, arrived: true });
    expect(run.stderr).not.toContain(question);
    expect(run.stderr).toContain("remote side: docker system dial-stdio");
  });
});

describe.skipIf(why)("ssh asks on the terminal", () => {
  test.each([
    ["once for a password", "login-password", "'s password: "],
    ["once for the passphrase of a key", "login-key", "Enter passphrase for key"],
  ])("%s", async (_, name, question) => {
    const run = await pushOnTerminal(`ssh://plain@${name}`, ["--far", "node"], [[question, PASSWORD]]);
    expect(run).toMatchObject({ exitCode: 0, arrived: true, questionsShown: 1 });
  });

  test("a second time if the engine needs a second connection, which a line announces", async () => {
    await using later = await startTestbed({ far: { kind: "28.5-containerd" } });
    await buildImage(later.near, IMAGE, [{ name: "login-shells", bytes: 10_000 }]);
    await using other = await startLoginHost(later, [{ name: "plain", links }]);
    const question = "'s password: ";
    const answers = [
      [question, PASSWORD],
      [question, PASSWORD],
    ] as const;
    const args = ["push", "--far", "engine", IMAGE, "ssh://plain@login-password"];
    const { exitCode, screen, unanswered } = await onTerminal(args, answers, other.env);
    expect({ exitCode, unanswered }).toEqual({ exitCode: 0, unanswered: 0 });
    const [, between = "", after] = screen.split(question);
    expect(between).toContain("connecting to ssh://plain@login-password once more");
    expect(after).toBeDefined();
    expect((await later.far.listing()).references).toContain(IMAGE);
  });

  test("and fails with its own message without a terminal", async () => {
    const args = ["push", IMAGE, "ssh://plain@login-password"];
    const run = await execa("docker-over-ssh", args, { reject: false, env: host.env, stdin: "ignore", detached: true });
    expect(run.exitCode).toBe(4);
    expect(run.stderr).toMatch(/^remote: .*Permission denied/m);
  });
});

describe.skipIf(why)("a login that always runs one command (ForceCommand)", () => {
  test("which runs the requested command", async () => {
    expect(await push("ssh://wrapped@login", "--far", "node")).toEqual({ ...done, arrived: true });
  });

  test("docker-over-ssh pull: it becomes the remote side", async () => {
    const args = ["push", "--verbose", "--as", "login-shells:forced", IMAGE, "ssh://pulls@login"];
    const run = await dos(args, { env: host.env });
    expect(run).toEqual(done);
    expect(run.stderr).toContain("remote side: docker-over-ssh on ssh://pulls@login\n");
    expect(await hasArrived("login-shells:forced")).toBe(true);
  });

  test("docker system dial-stdio: it prints nothing; the command that the error suggests works", async () => {
    const run = await push("ssh://dials@login", "--timeout", "2");
    expect(run).toMatchObject({ exitCode: 6, arrived: false });
    const [, command = ""] = /\(ForceCommand\), write (.*) in place of the host/.exec(run.stderr) ?? [];
    expect(command).toBe("ssh dials@login docker system dial-stdio");
    const args = ["push", "--as", "login-shells:dialled", IMAGE, ...command.split(" ")];
    expect(await dos(args, { env: host.env })).toEqual(done);
    expect(await hasArrived("login-shells:dialled")).toBe(true);
  });

  test("a wrapper that allows only docker system dial-stdio: a second login requests it", async () => {
    const before = host.logins().length;
    const run = await push("ssh://may-dial@login");
    expect(run).toEqual({ ...done, arrived: true });
    expect(run.stderr).toContain(
      "login runs no commands of a POSIX shell (status 9): connecting once more, to the engine alone\n",
    );
    expect(host.logins()).toHaveLength(before + 2);
  });
});

test.skipIf(why).each([
  ["a missing local program", ["--ssh", "/nowhere/ssh"]],
  ["a program that fails", ["--ssh", "false"]],
  ["ssh to an unknown user", []],
])("runs %s once", async (_, options) => {
  const run = await push("ssh://nobody-here@login", ...options);
  expect(run).toMatchObject({ stdout: "", arrived: false });
  expect(run.exitCode).toBeOneOf([4, 5]);
  expect(run.stderr.match(/: running /g)).toHaveLength(1);
});

describe.skipIf(why)("a user of the host", () => {
  test("whose home is noexec: skips a Node in it, and another Node runs the cached bundle", async () => {
    const options = ["--far", "node", "--far-path", PROGRAMS.node];
    const [first, second] = [
      await push("ssh://noexec@login", ...options),
      await push("ssh://noexec@login", ...options),
    ];
    expect([first, second]).toEqual([
      { ...done, arrived: true },
      { ...done, arrived: true },
    ]);
    expect(first.stderr).toContain("sending docker-over-ssh itself");
    expect(second.stderr).not.toContain("sending docker-over-ssh itself");
    const without = await push("ssh://noexec@login", "--far", "node");
    expect(without).toMatchObject({ exitCode: 5, arrived: false });
    expect(without.stderr).not.toContain("it ran");
  });

  test.each(["node", "engine"])("without HOME, and with an empty PATH: by %s", async (far) => {
    const folders = [PROGRAMS.node, PROGRAMS.docker].flatMap((folder) => ["--far-path", folder]);
    expect(await push("ssh://no-path@login", "--far", far, ...folders)).toEqual({ ...done, arrived: true });
  });
});
