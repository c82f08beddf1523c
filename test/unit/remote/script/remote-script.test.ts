import { existsSync } from "node:fs";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { readConnection } from "../../../../src/commands/options/read-connection.ts";
import { readBundle } from "../../../../src/remote/script/bundle.ts";
import { hasReachedShell, loginCommand } from "../../../../src/remote/login/login.ts";
import { findMarker, parseRemoteLine, STARTED_BY_SCRIPT } from "../../../../src/remote/script/remote-lines.ts";
import { furtherBlocks, scriptWords, type ScriptOptions } from "../../../../src/remote/script/remote-script.ts";
import { quote } from "../../../../src/remote/script/shell-words.ts";
import type { RemoteProgram } from "../../../../src/output/remote-programs.ts";
import type { HostConnection } from "../../../../src/request.ts";
import { temporaryFolder } from "../../engine/fake-engine.ts";
import { AMD64 } from "../../image/platforms.ts";

const prod = readConnection(["ssh://deploy@prod:2222"]) as HostConnection;
/** Longer than the limit of a word, and with each character of base64. */
const bootstrap = "+/=0aA".repeat(400);

describe("the login", () => {
  test("is the user's own ssh, without a terminal", () => {
    expect(loginCommand(prod, ["pull", "app:v2"])).toEqual([
      ..."ssh -l deploy -p 2222 -o ConnectTimeout=30 -o ServerAliveInterval=5 -o ServerAliveCountMax=4 -T -- prod".split(
        " ",
      ),
      "'pull'",
      "'app:v2'",
    ]);
  });

  test("is the program that --ssh names", () => {
    const { ssh } = readConnection(["prod"], { ssh: ["ssh", "-i", "key"] }) as HostConnection;
    expect(loginCommand({ ...prod, ssh }, []).slice(0, 4)).toEqual(["ssh", "-i", "key", "-l"]);
  });

  test.each([
    ["docker://box", "docker exec -i box"],
    ["kubectl://ns/pod", "kubectl exec -i -n ns pod --"],
    ["kubectl://ns/pod/box", "kubectl exec -i -n ns pod -c box --"],
  ])("into the container %s is %s, without a shell in between", (given, words) => {
    expect(loginCommand(readConnection([given]) as HostConnection, ["it's", "b"])).toEqual([
      ...words.split(" "),
      "it's",
      "b",
    ]);
  });

  test.each<[string, string | undefined, number[], boolean]>([
    ["prod", undefined, [1, 2, 126, 127], true],
    ["prod", undefined, [0, 255], false],
    ["prod", "/usr/bin/ssh", [1], true],
    ["prod", "tsh", [1, 255], false],
    ["docker://box", undefined, [1], false],
    ["docker://box", undefined, [126, 127], true],
    ["kubectl://ns/pod", undefined, [1], false],
  ])("%s, by %s, has reached a shell with the status %j: %s", (given, program, statuses, expected) => {
    const ssh = program === undefined ? {} : { ssh: [program] };
    const connection = readConnection([given], ssh) as HostConnection;
    expect(statuses.map((status) => hasReachedShell(connection, status))).toEqual(statuses.map(() => expected));
  });

  test("rejects a word that cannot be quoted for every shell", () => {
    expect(() => loginCommand(prod, ["app'; rm -rf /; '"])).toThrow("cannot be quoted");
  });
});

test("the command is shorter than the limit of Dropbear, 9000 characters, and short for an engine alone", () => {
  const { bootstrap } = readBundle();
  const bundle = { digest: "0".repeat(64), size: 230_000, bootstrap };
  const length = (programs: readonly RemoteProgram[]): number =>
    loginCommand(prod, scriptWords({ ...prod, programs, bundle, words: ["pull", "app:v2"] })).join(" ").length;
  expect(length(["installed", "node", "container", "node-sent", "engine"])).toBeLessThan(9000);
  expect(length(["engine"])).toBeLessThan(5500);
});

test("no word exceeds the limit of csh, 1024 characters", () => {
  const words = script({ sudo: true, programs: ["node-sent"] });
  expect(Math.max(...words.map((word) => word.length))).toBeLessThanOrEqual(1000);
});

function script(options: Partial<ScriptOptions> = {}): string[] {
  return scriptWords({
    sudo: false,
    programs: ["installed", "node", "container", "engine"],
    bundle: { digest: "d19e57", size: 1234, bootstrap },
    image: { given: "node:24" },
    isImageRequested: false,
    paths: [],
    folders: [],
    words: ["pull", "--timeout", "5", "app:v2"],
    ...options,
  });
}

const shells = ["sh", "dash", "bash", "ksh", "zsh", "csh", "tcsh", "bsd-csh", "fish", "busybox ash"];
const installed = await Promise.all(
  shells.map(async (shell) => (await execa({ reject: false })`which ${shell.split(" ")[0] ?? ""}`).exitCode === 0),
);
const have = shells.filter((_, index) => installed[index]);
const missing = shells.filter((shell) => !have.includes(shell));

test.skipIf(missing.length > 0)(
  `each login shell is here; not installed, and not tested: ${missing.join(", ")}`,
  () => {
    expect(missing).toEqual([]);
  },
);

describe.each(have)("the script in the remote shell %s", (shell) => {
  interface RunOptions extends Partial<ScriptOptions> {
    /** The shell code of programs in PATH. Default: print the name and the arguments. */
    code?: Record<string, string>;
    /** Further files in the home folder, with shell code. */
    home?: Record<string, string>;
    input?: string;
    /** The aliases of nvm. */
    aliases?: Record<string, string>;
    /** Links in the home folder. */
    links?: Record<string, string>;
    /** DOCKER_HOST. By default, docker-over-ssh itself reaches an engine if Node is tried. */
    dockerHost?: string;
    /** The image whose pull has failed in an earlier run. */
    stamp?: string;
  }

  /** Runs the line with only these programs in PATH. Returns their output, and the marker lines. */
  async function run(
    programs: string[],
    { code = {}, home = {}, input = "", stamp, dockerHost, aliases = {}, links = {}, ...options }: RunOptions = {},
  ) {
    await using folder = await temporaryFolder();
    const bin = join(folder.path, "bin");
    const files = [
      ...programs.map((name) => [join(bin, name), code[name] ?? `echo "[${name}]" "$@"`] as const),
      ...Object.entries(home).map(([name, text]) => [join(folder.path, name), text] as const),
    ];
    await mkdir(bin);
    for (const [file, text] of files) {
      await mkdir(join(file, ".."), { recursive: true });
      await writeFile(file, `#!/bin/sh\n${text}\n`);
      await chmod(file, 0o755);
    }
    for (const [name, text] of Object.entries(aliases)) {
      await mkdir(join(folder.path, ".nvm/alias/lts"), { recursive: true });
      await writeFile(join(folder.path, ".nvm/alias", name), `${text}\n`);
    }
    for (const [name, target] of Object.entries(links)) await symlink(target, join(folder.path, name));
    if (stamp !== undefined) await writeFile(join(folder.path, ".cache/docker-over-ssh/pull-failed"), `${stamp}\n`);
    for (const name of ["sh", "env", "uname", "cat", "find", "grep", "ls", "mkdir", "rm", "sort"])
      await execa`ln -s /bin/${name} ${join(bin, name)}`;
    const [name = "", ...args] = shell.split(" ");
    const file = (await execa`which ${name}`).stdout;
    const host = dockerHost ?? (options.programs?.includes("node") ? "tcp://engine:2375" : "");
    const env = { PATH: bin, HOME: folder.path, LC_ALL: "C", DOCKER_HOST: host };
    const line = script(options).map(quote).join(" ");
    const { stdout, exitCode } = await execa(file, [...args, "-c", line], {
      env,
      extendEnv: false,
      reject: false,
      input: (options.programs?.includes("container") ? furtherBlocks("container") : "") + input,
    });
    const text = stdout.replaceAll(folder.path, "~");
    const lines = text.split("\n").map((one) => one.replace(/^#docker-over-ssh#remote# /, "# "));
    return { lines: lines.filter((one) => one !== "# more container"), exitCode };
  }

  const trying = (...programs: RemoteProgram[]) => ({ programs });
  const boot = `eval(require(/zlib/.source).brotliDecompressSync(Buffer.from(process.argv[1],/base64/.source))+[])`;

  test("runs docker-over-ssh if it is installed", async () => {
    expect(await run(["docker-over-ssh", "docker", "node"])).toEqual({
      lines: ["# try installed ~/bin/docker-over-ssh", "[docker-over-ssh] pull --timeout 5 app:v2"],
      exitCode: 0,
    });
  });

  test.each([1, 2, 9, 70, 130])("exits with its exit status %d", async (status) => {
    const code = { "docker-over-ssh": `exit ${status}` };
    expect(await run(["docker-over-ssh", "docker"], { code })).toMatchObject({ exitCode: status });
  });

  test("skips a version that cannot relay if a relay is requested", async () => {
    const code = { "docker-over-ssh": "exit 2" };
    const { lines } = await run(["docker-over-ssh"], { code, isRelay: true, ...trying("installed") });
    expect(lines[1]).toBe("# pass installed status 2");
  });

  test("skips a version without `build` if a build is requested", async () => {
    const code = { "docker-over-ssh": "exit 2" };
    const { lines } = await run(["docker-over-ssh"], { code, words: ["build"], ...trying("installed") });
    expect(lines[1]).toBe("# pass installed status 2");
  });

  test("does not skip a version that has `build` but rejects this build", async () => {
    const code = { "docker-over-ssh": '[ "$2" = --help ] && exit 0; exit 2' };
    const { exitCode } = await run(["docker-over-ssh"], { code, words: ["build"], ...trying("installed") });
    expect(exitCode).toBe(2);
  });

  test.each([8, 126, 127])("it is skipped after status %d: another protocol, or it cannot be run", async (status) => {
    const code = { "docker-over-ssh": `exit ${status}` };
    const { lines } = await run(["docker-over-ssh"], { code, ...trying("installed") });
    expect(lines.slice(1, 3)).toEqual([
      `# pass installed status ${status}`,
      expect.stringMatching(/^# nothing ~\/bin:.*~\/.local\/bin/),
    ]);
  });

  test("has Node run the bootstrap with the bundle's digest and size", async () => {
    const { lines, exitCode } = await run(["node"], trying("installed", "node"));
    expect(lines).toEqual([
      "# pass installed not found",
      "# try node ~/bin/node",
      `[node] -e ${boot} -- ${bootstrap} d19e57:1234 node pull --timeout 5 app:v2`,
    ]);
    expect(exitCode).toBe(0);
  });

  /** The Nodes of nvm. Each unsuitable one is skipped. */
  const nvm = (versions: string[], suits = "") =>
    Object.fromEntries(
      versions.map((version) => [
        `.nvm/versions/node/${version}/bin/node`,
        version === suits ? "echo suits" : `echo "#docker-over-ssh#remote# pass node old"; exit 96`,
      ]),
    );
  const tried = async (home: Record<string, string>, programs: string[] = [], options: RunOptions = {}) =>
    (await run(programs, { home, ...trying("node"), ...options })).lines.flatMap(
      (line) => /^# try node ~\/(?:\.nvm\/versions\/node\/)?(.*?)(?:\/bin\/node)?$/.exec(line)?.[1] ?? [],
    );

  test("finds Node in the folders of version managers, the newest of nvm, and skips an unsuitable Node", async () => {
    const home = { ".volta/bin/node": "exit 126", ...nvm(["v20.19.0", "v9.9.9", "v24.2.0", "v24.10.0"], "v24.10.0") };
    expect((await run([], { home, ...trying("node") })).lines).toEqual([
      "# try node ~/.volta/bin/node",
      "# pass node status 126",
      "# try node ~/.nvm/versions/node/v24.10.0/bin/node",
      "suits",
    ]);
  });

  test.each([
    ["v22.1.0", ["v22.1.0", "v24.0.0"]],
    ["22.1", ["v22.1.0", "v24.0.0"]],
    ["22", ["v22.10.0", "v24.0.0"]],
    ["lts/*", ["v20.19.0", "v24.0.0"]],
    ["node", ["v24.0.0"]],
    ["system", ["v24.0.0"]],
    ["v24.0.0", ["v24.0.0"]],
    ["2", ["v24.0.0"]],
    ["loop", ["v24.0.0"]],
  ])("tries nvm's default %j first, and then its newest", async (alias, expected) => {
    const home = nvm(["v20.19.0", "v22.1.0", "v22.10.0", "v24.0.0"]);
    const aliases = { default: alias, "lts/*": "lts/iron", "lts/iron": "v20.19.0", loop: "loop" };
    expect(await tried(home, [], { aliases })).toEqual(expected);
  });

  test("tries a Node that has two names once", async () => {
    const code = { node: "exit 126", nodejs: "exit 126" };
    expect(await tried({}, ["node", "nodejs"], { code })).toEqual(["bin/node", "bin/nodejs"]);
    expect(await tried({}, ["node"], { code, links: { "bin/nodejs": "node" } })).toEqual(["bin/node"]);
  });

  test("skips a Node that does not start, but not the status of a failed transfer", async () => {
    const broken = await run(["node"], { code: { node: "exit 1" }, ...trying("node") });
    expect(broken.lines[1]).toBe("# pass node status 126");
    const failed = await run(["node"], {
      code: { node: `case "$2" in process.exit*) ;; *) exit 1 ;; esac` },
      ...trying("node"),
    });
    expect(failed).toEqual({ lines: ["# try node ~/bin/node"], exitCode: 1 });
  });

  const docker = (image: string, more = "exit 1"): Record<string, string> => ({
    docker: `case "$*" in
      *Server.Os*) echo linux/amd64 ;;
      *APIVersion*) echo 1.56 ;;
      context*) echo unix:///run/here.sock ;;
      image*) ${image} ;;
      pull*) ${more} ;;
      *) echo "[docker]" "$@" ;;
    esac`,
  });

  test("runs the bootstrap in a container, with the engine's socket and a volume for the cache", async () => {
    const { lines } = await run(["docker"], { code: docker("echo linux/amd64"), ...trying("container") });
    expect(lines[0]).toBe("# try container node:24");
    expect(lines[1]).toMatch(/^\[docker\] run -i --rm .* type=bind,src=\/run\/here.sock,dst=\/var\/run\/docker.sock /);
    expect(lines[1]).toContain(" --mount type=volume,src=docker-over-ssh-cache,dst=/cache,");
    expect(lines[1]).toContain(
      ` -e DOCKER_HOST=unix:///var/run/docker.sock -e ${STARTED_BY_SCRIPT}=1 --entrypoint node node:24 -e ${boot} -- ${bootstrap} d19e57:1234 container pull --timeout 5 app:v2`,
    );
  });

  test("removes the containers of a killed docker before it starts one, and reads nothing of the tunnel", async () => {
    const code = docker("echo linux/amd64");
    const ages = ["c1 10 minutes ago", "c2 9 minutes ago", "c3 Less than a second ago", "c4 59 seconds ago"];
    ages.push("c5 About a minute ago", "c6 About an hour ago", "c7 2 days", "c8 something else");
    const log = (more: string) => `echo "$@" "stdin: $(cat)" >> ~/log; ${more}exit`;
    const ps = log(ages.map((age) => `echo "${age}"; `).join(""));
    code["docker"] = `case "$1" in ps) ${ps} ;; rm) ${log("")} ;; run) cat ~/log ;; esac; ${code["docker"]}`;
    const { lines } = await run(["docker"], { code, input: "tunnel\n", ...trying("container") });
    expect(lines.slice(0, 6)).toEqual([
      "# try container node:24",
      "ps -a --filter label=docker-over-ssh.remote --filter status=created --filter status=exited " +
        "--format {{.ID}} {{.RunningFor}} stdin: ",
      "rm c1 stdin: ",
      "rm c6 stdin: ",
      "rm c7 stdin: ",
      expect.stringMatching(/^\[docker\] run -i --rm /),
    ]);
  });

  test("pulls a missing image, or else requests it from the initiator", async () => {
    const code = docker(`[ -e ~/there ] && echo linux/amd64`, "> ~/there");
    const { lines } = await run(["docker"], { code, ...trying("container") });
    expect(lines.slice(0, 2)).toEqual(["# pull node:24", "# try container node:24"]);
    const none = await run(["docker"], { code: docker("exit 1"), input: "no\n", ...trying("container") });
    expect(none.lines.slice(0, 3)).toEqual([
      "# pull node:24",
      "# image linux/amd64 node:24",
      "# pass container no image",
    ]);
  });

  test("pulls again a day after a failed pull, or if the image is requested by an option", async () => {
    const code = docker("exit 1");
    const home = { ".cache/docker-over-ssh/pull-failed": "" };
    const pulls = async (options: RunOptions) =>
      (await run(["docker"], { code, input: "no\n", ...trying("container"), ...options })).lines.includes(
        "# pull node:24",
      );
    expect(await pulls({})).toBe(true);
    expect(await pulls({ home, stamp: "node:24" })).toBe(false);
    expect(await pulls({ home, stamp: "node:20" })).toBe(true);
    expect(await pulls({ home, stamp: "node:24", isImageRequested: true })).toBe(true);
  });

  test.each([
    ["a link to a file", "ln -s ~/own ~/.cache/docker-over-ssh/pull-failed"],
    ["a FIFO", "mkfifo ~/.cache/docker-over-ssh/pull-failed"],
  ])("%s in a cache folder that another user has prepared does no harm", async (_, prepare) => {
    const there = "PATH=/bin:/usr/bin; echo own > ~/own; mkdir -p ~/.cache/docker-over-ssh";
    const code = docker("exit 1");
    code["docker"] =
      `case "$*" in *Server.Os*) (${there}; ${prepare}) ;; system*) echo "$(cat ~/own)" ;; esac; ${code["docker"]}`;
    const { lines } = await run(["docker"], { code, input: "no\n", ...trying("container", "engine") });
    expect(lines.slice(-2)).toEqual(["own", "[docker] system dial-stdio"]);
  });

  test("treats an image for another platform as missing", async () => {
    const { lines } = await run(["docker"], { code: docker("echo linux/arm64"), ...trying("container") });
    expect(lines).toContain("# pass container no image");
  });

  test("uses the engine alone if it cannot start the container", async () => {
    const code = docker("echo linux/amd64");
    code["docker"] = code["docker"]?.replace(`*) echo "`, `run*) exit 125 ;; *) echo "`) ?? "";
    expect((await run(["docker"], { code, ...trying("container", "engine") })).lines).toEqual([
      "# try container node:24",
      "# pass container status 125",
      "# engine docker 1.56",
      "[docker] system dial-stdio",
    ]);
  });

  test("reaches the engine with docker or with podman", async () => {
    const code = docker("exit 1");
    expect((await run(["docker", "podman"], { code, ...trying("engine") })).lines).toEqual([
      "# engine docker 1.56",
      "[docker] system dial-stdio",
    ]);
    expect((await run(["podman"], trying("engine"))).lines).toEqual(["# engine podman", "[podman] system dial-stdio"]);
  });

  test("skips Node if docker-over-ssh itself does not reach the engine", async () => {
    const wrapper = docker("exit 1");
    wrapper["docker"] = wrapper["docker"]?.replace("unix:///run/here.sock", "unix:///root/only.sock") ?? "";
    const { lines } = await run(["node", "docker"], {
      code: wrapper,
      dockerHost: "unix:///nowhere/docker.sock",
      ...trying("node", "engine"),
    });
    expect(lines).toEqual([
      "# pass node no engine at /nowhere/docker.sock",
      "# engine docker 1.56",
      "[docker] system dial-stdio",
    ]);
  });

  const why = existsSync("/var/run/docker.sock") ? " (skipped: /var/run/docker.sock is here, and would count)" : "";
  test.skipIf(why !== "")(
    `uses the engine of docker's context, and does not treat podman alone as one${why}`,
    async () => {
      const podman = await run(["node", "podman"], { dockerHost: "", ...trying("node", "engine") });
      expect(podman.lines).toEqual([
        "# pass node no engine at /var/run/docker.sock",
        "# engine podman",
        "[podman] system dial-stdio",
      ]);
      const context = await run(["node", "docker"], {
        code: docker("exit 1"),
        dockerHost: "",
        ...trying("node", "engine"),
      });
      expect(context.lines[0]).toBe("# pass node no engine at /run/here.sock");
    },
  );

  test("skips a Node that a signal ends at its start, but not a transfer that a signal ends", async () => {
    const broken = await run(["node"], { code: { node: "kill -4 $$" }, ...trying("node") });
    expect(broken.lines[1]).toBe("# pass node status 126");
    const killed = await run(["node"], {
      code: { node: `case "$2" in process.exit*) ;; *) kill -9 $$ ;; esac` },
      ...trying("node"),
    });
    expect(killed).toEqual({ lines: ["# try node ~/bin/node"], exitCode: 137 });
  });

  test("uses no container if the program docker is podman", async () => {
    const code = { docker: `case "$*" in *Server*) echo linux/ ;; *) echo "[docker]" "$@" ;; esac` };
    expect((await run(["docker"], { code, ...trying("container", "engine") })).lines[0]).toBe(
      "# pass container no engine",
    );
  });

  test("reports no version of docker if the engine is down, and docker prints the error itself", async () => {
    const code = { docker: `[ "$1" = version ] && exit 1; echo "[docker]" "$@"` };
    expect((await run(["docker"], { code, ...trying("engine") })).lines).toEqual([
      "# engine docker ",
      "[docker] system dial-stdio",
    ]);
  });

  test("searches the folders of --far-path first, then PATH, then the usual folders", async () => {
    await using tools = await temporaryFolder();
    await writeFile(join(tools.path, "docker-over-ssh"), "#!/bin/sh\necho from the folder\n", { mode: 0o755 });
    const lines = async (programs: string[], options: RunOptions) =>
      (await run(programs, { ...trying("installed"), ...options })).lines[1];
    expect(await lines(["docker-over-ssh"], { paths: [tools.path] })).toBe("from the folder");
    expect(await lines(["docker-over-ssh"], { folders: [tools.path] })).toMatch(/^\[docker-over-ssh\]/);
    expect(await lines([], { folders: [tools.path] })).toBe("from the folder");
  });

  describe("with sudo", () => {
    const sudo = (code: string) => ({ sudo: true, code: { sudo: code }, ...trying("installed") });
    const programs = ["docker-over-ssh", "sudo"];

    test("runs everything as root if sudo asks for no password, and finds root's home folder", async () => {
      const { lines } = await run(programs, sudo(`[ "$2" = true ] && exit; echo "root: $1 $2"; shift 2; exec "$@"`));
      expect(lines).toEqual([
        "root: -n -H",
        "# try installed ~/bin/docker-over-ssh",
        "[docker-over-ssh] pull --timeout 5 app:v2",
      ]);
    });

    /** A sudo that lists these rights, and asks for a password for all other commands. */
    const rights = (listed: string) =>
      sudo(`case "$2" in true) exit 1;; -l) echo "User deploy may run the following commands on prod:
    ${listed}"; exit;; esac; [ "$1" = -n ] || { echo password; exit; }; shift 2; echo "root: $@"`);

    test.each([
      "(root) NOPASSWD: /usr/bin/docker-over-ssh",
      "(ALL) ALL\n    (root) NOPASSWD: /usr/bin/docker",
      "(root) NOPASSWD: /bin/ls, /usr/bin/podman, /bin/df",
      "(root) NOPASSWD: /usr/bin/docker *",
    ])("runs only the programs as root if sudo allows only some without a password: %j", async (listed) => {
      const { lines } = await run(programs, rights(listed));
      expect(lines).toEqual([
        "# try installed ~/bin/docker-over-ssh",
        "root: ~/bin/docker-over-ssh pull --timeout 5 app:v2",
      ]);
    });

    test.each([
      "(ALL) ALL",
      "(ALL) ALL\n    (root) NOPASSWD: /usr/local/bin/docker-prune",
      "(ALL) ALL\n    (root) NOPASSWD: /usr/bin/docker-compose, /usr/bin/podman-remote",
      "(root) NOPASSWD: /bin/ls\n    (root) /usr/bin/docker",
    ])("has sudo ask for the password if only other programs need none: %j", async (listed) => {
      expect((await run(programs, rights(listed))).lines).toEqual(["password"]);
    });

    test("otherwise, has sudo ask for the password once, and read it from stdin", async () => {
      const code = `[ "$1" = -n ] && exit 1; read -r x; echo "$1 $2 $3 $4 $x"; shift 4; exec "$@"`;
      const { lines } = await run(programs, { ...sudo(code), input: "secret\n" });
      expect(lines.slice(0, 2)).toEqual([
        "-S -H -p #docker-over-ssh#password# secret",
        "# try installed ~/bin/docker-over-ssh",
      ]);
    });
  });

  test("prints the remote PATH in the last line if there is no program", async () => {
    const { lines, exitCode } = await run([]);
    expect(lines.at(-1)).toMatch(/^# nothing ~\/bin:/);
    expect(exitCode).toBe(127);
  });

  test("passes the name of an image on unchanged", async () => {
    const name = "registry.example.com:8443/team/a__b/app-x:1.0_x-y@sha256:0123";
    expect((await run(["docker-over-ssh"], { words: ["push", name] })).lines[1]).toBe(`[docker-over-ssh] push ${name}`);
  });
});

describe("a line of the script", () => {
  const system = (kernel: string, machine: string, bits: string, libc: string) => ({
    kind: "system",
    system: { kernel, machine, bits, libc },
  });

  test.each(["", "Welcome\n", "no line feed"])("is found after %j", (banner) => {
    const text = `${banner}#docker-over-ssh#remote# engine docker 1.56\nHTTP/1.1 200 OK`;
    const found = findMarker(text);
    expect({ ...found, rest: text.slice(found?.end) }).toMatchObject({
      start: banner.length,
      words: "engine docker 1.56",
      rest: "HTTP/1.1 200 OK",
    });
  });

  test("is not found before it is complete", () => {
    expect(findMarker("Welcome\n#docker-over-ssh#remote# dock")).toBeUndefined();
    expect(findMarker("Welcome\n")).toBeUndefined();
  });

  test.each([
    ["pass node Node 18 is too old", { kind: "pass", program: "node", reason: "Node 18 is too old" }],
    ["try node /a b/node", { kind: "try", program: "node", what: "/a b/node" }],
    ["send", { kind: "send" }],
    ["run kept", { kind: "run", isCached: true }],
    ["run sent", { kind: "run", isCached: false }],
    ["more container", { kind: "more", program: "container" }],
    ["more engine", undefined],
    ["pull node:24", { kind: "pull", image: "node:24" }],
    ["image linux/amd64 node:24", { kind: "image", platform: AMD64 }],
    ["system Linux x86_64 64 glibc 2.36", system("Linux", "x86_64", "64", "glibc 2.36")],
    ["system Darwin arm64 64", system("Darwin", "arm64", "64", "")],
    ["send-node", { kind: "send-node" }],
    ["engine docker linux/", { kind: "engine", program: "docker" }],
    ["engine docker", { kind: "engine", program: "docker" }],
    ["engine docker 1.56", { kind: "engine", program: "docker", apiVersion: "1.56" }],
    ["engine podman", { kind: "engine", program: "podman" }],
    ["nothing /a b:/c", { kind: "nothing", path: "/a b:/c" }],
    ["engine other", undefined],
    ["hello", undefined],
  ])("%j is parsed", (words, line) => {
    expect(parseRemoteLine(words)).toEqual(line);
  });
});
