import { expect, test } from "vitest";
import { hasStarted } from "../../../../src/guard/buildah/find-host.ts";

// The lines of Debian 12's buildah, crun 1.8 and runc 1.1
const LINES: [runtime: string, line: string, hasStarted: boolean][] = [
  [
    "crun",
    "error running container: from crun creating container for [/none]: executable file `/none` not found: No such file or directory",
    true,
  ],
  [
    "runc",
    'error running container: from /usr/bin/runc creating container for [/none]: time="2026-11-30T21:05:14Z" level=error msg="runc create failed: unable to start container process: exec: \\"/none\\": stat /none: no such file or directory"',
    true,
  ],
  [
    "chroot",
    "process failed to start with error: fork/exec /none: no such file or directoryprocess exited with error: exec: not started",
    true,
  ],
  [
    "no crun",
    'error running container: from crun creating container for [/none]: : exec: "crun": executable file not found in $PATH',
    false,
  ],
  [
    "crun, with cgroups that it cannot use",
    "error running container: from crun creating container for [/none]: cgroups in hybrid mode not supported, drop all controllers from cgroupv2",
    false,
  ],
];

test.each(LINES)("recognizes a runtime that has started the program of a step: %s", (_runtime, line, expected) => {
  expect(hasStarted([line, ": exit status 1"])).toBe(expected);
});
