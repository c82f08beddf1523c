import { expect, test } from "vitest";
import { baseOf, buildArguments, checkRequest, variablesOf } from "../../../../src/guard/buildah/build-arguments.ts";
import { errorLine, streamLine } from "../../../../src/guard/buildah/build-line.ts";
import { imagePolicy } from "../../../../src/guard/buildah/registry-files.ts";
import { sandboxArguments } from "../../../../src/guard/buildah/sandbox.ts";
import type { BuildRequest } from "../../../../src/guard/build-request.ts";
import type { Tenant } from "../../../../src/guard/tenant.ts";
import { PLAIN_BUILD } from "../../../fixtures/guard/plain-build.ts";

const setup = { driver: "overlay", driverOptions: [], isolation: "oci", runtime: "runc" } as const;

const tenant: Tenant = {
  id: "a",
  labels: { team: "red" },
  policy: { bases: [], pulls: [], pushes: [], sources: [], sharesCache: false, hasNetwork: true },
  resources: { ulimits: ["nofile=10:10"] },
  quotas: { context: 1, connections: 1, requests: 1 },
};

const argumentsOf = (request: Partial<BuildRequest>): string =>
  buildArguments({ ...PLAIN_BUILD, ...request }, tenant, setup, "none").join(" ");

test("a build uses only images of the storage, and has the guard's labels and limits", () => {
  const labels = { "docker-over-ssh.guard.tenant": "b", team: "blue", other: "1" };
  const found = argumentsOf({ labels, ulimits: ["nofile=99:99", "core=0:0"] });
  expect(found).toContain("--pull=never");
  expect(found).not.toContain("--tag");
  expect(found).toContain("--label docker-over-ssh.guard.tenant=a");
  expect(found).not.toMatch(/tenant=b|team=blue|nofile=99/);
  expect(found).toContain("--ulimit core=0:0 --ulimit nofile=10:10");
});

test("passes values of build arguments as variables, unless buildah itself reads variables of these names", () => {
  const buildArgs = { TOKEN: "secret", LD_PRELOAD: "/x.so", PATH: "/evil", NONE: null };
  expect(argumentsOf({ buildArgs })).not.toContain("secret");
  expect(argumentsOf({ buildArgs })).toContain("--build-arg TOKEN --build-arg LD_PRELOAD=/x.so");
  expect(variablesOf({ ...PLAIN_BUILD, buildArgs })).toEqual({ TOKEN: "secret" });
});

test.each([
  "dir:/etc",
  "oci:/x",
  "oci-archive:/x",
  "docker-archive:/etc/passwd",
  "docker-daemon:a:b",
  "docker://dir:/x",
])("refuses the base %s", (text) => {
  expect(() => baseOf(text)).toThrow(expect.objectContaining({ rule: "base.refused" }) as Error);
});

test.each<[Partial<BuildRequest>, string]>([
  [{ builder: "buildkit" }, "DOCKER_BUILDKIT=0"],
  [{ remote: "https://example.com/a.git" }, "sent to it"],
  [{ dockerfile: "../Dockerfile" }, "outside"],
  [{ dockerfile: "/etc/passwd" }, "outside"],
])("refuses %o", (request, words) => {
  expect(() => checkRequest({ ...PLAIN_BUILD, ...request }, setup)).toThrow(words);
});

test("refuses a size of /dev/shm if steps share buildah's", () => {
  const request = { ...PLAIN_BUILD, shmSize: 1 };
  expect(() => checkRequest(request, setup)).not.toThrow();
  expect(() => checkRequest(request, { ...setup, isolation: "chroot" })).toThrow("--shm-size");
});

test("buildah may read only its storage and one image of a registry", () => {
  const reference = { given: "alpine", domain: "docker.io", path: "library/alpine", tag: "3" };
  expect(imagePolicy(reference)).toEqual({
    default: [{ type: "reject" }],
    transports: {
      "containers-storage": { "": [{ type: "insecureAcceptAnything" }] },
      docker: { "docker.io/library/alpine:3": [{ type: "insecureAcceptAnything" }] },
    },
  });
  expect(JSON.stringify(imagePolicy(undefined))).not.toContain("docker.io");
});

test("a program runs in a user namespace, in namespaces that end with it, and without a network", () => {
  const sandbox = { folder: "/f", cgroupFiles: ["/c/cgroup.procs"], policy: {}, registries: "", hasAuthFile: false };
  const found = sandboxArguments(["buildah"], { ...sandbox, userNamespace: "/proc/1/fd/3", network: "none", user: 5 });
  expect(found.slice(2)).toEqual(expect.arrayContaining(["/f", "/c/cgroup.procs", "--user=/proc/1/fd/3", "--net"]));
  expect(found).toEqual(expect.arrayContaining(["--pid", "--mount", "--kill-child", "--pdeathsig"]));
  expect(found.at(-1)).toBe("buildah");
});

test.each([
  ["STEP 1/3: FROM scratch", "Step 1/3 : FROM scratch\n"],
  ["--> 1231d85b143", " ---> 1231d85b143\n"],
  [
    "--> Using cache cee78e576743fc1e989d722664fae7d852d4f4aa51815f3ae4b655d7cdfb7ede",
    " ---> Using cache\n ---> cee78e576743\n",
  ],
  ["COMMIT docker.io/library/x:1", undefined],
  ["COMMIT", undefined],
  ["text of a step", "text of a step\n"],
])("translates the line %s", (line, expected) => {
  expect(streamLine(line)).toBe(expected);
});

test("reports the exit status of a failed command like docker", () => {
  expect(errorLine('building at STEP "RUN false": while running runtime: exit status 3', false)).toEqual({
    errorDetail: { code: 3, message: "The command 'false' returned a non-zero code: 3" },
    error: "The command 'false' returned a non-zero code: 3",
  });
});

test("reports that a command was killed because of its memory", () => {
  const error = 'building at STEP "RUN hog": while running runtime: exit status 1';
  const message =
    "The command 'hog' returned a non-zero code: 137: the memory that builds of this tenant may have was used up";
  expect(errorLine(error, true)).toEqual({ errorDetail: { code: 137, message }, error: message });
});
