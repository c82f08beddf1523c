import { sshLogin, tryByHand } from "../../engine/connect/ssh-command.ts";
import type { HostConnection } from "../../request.ts";
import { quote } from "../script/shell-words.ts";

/** ssh gives up after 4 unanswered keep-alives, 5 s apart: 20 s, like a tunnel. */
const ALIVE = ["ServerAliveInterval=5", "ServerAliveCountMax=4"];

/** Returns the command that runs these words on the host, or in the container. */
export function loginCommand({ address, ssh }: HostConnection, words: readonly string[]): string[] {
  switch (address.protocol) {
    case "ssh":
      // ssh joins the words with spaces, and the remote login shell interprets the line.
      return [...ssh, ...sshLogin(address, ALIVE), ...words.map(quote)];
    case "docker":
      return ["docker", "exec", "-i", address.container, ...words];
    case "kubectl": {
      const { namespace, pod, container } = address;
      const inContainer = container === undefined ? [] : ["-c", container];
      return ["kubectl", "exec", "-i", "-n", namespace, pod, ...inContainer, "--", ...words];
    }
  }
}

/**
 * Returns whether a login that ended with this status has reached a remote shell, or has looked for one. ssh's own status is 255; docker,
 * kubectl and other programs can fail with any status.
 */
export function hasReachedShell({ address, ssh }: HostConnection, status: number): boolean {
  if (status === 126 || status === 127) return true;
  const isSsh = address.protocol === "ssh" && /(?:^|\/)ssh$/.test(ssh[0] ?? "");
  return isSsh && status !== 0 && status !== 255;
}

/** Returns a command with which a person can check that the host and its engine can be reached. */
export function loginByHand({ address }: HostConnection): string {
  switch (address.protocol) {
    case "ssh":
      return tryByHand(address);
    case "docker":
      return `docker exec ${address.container} docker version`;
    case "kubectl":
      return `kubectl exec -n ${address.namespace} ${address.pod} -- docker version`;
  }
}

/** Returns the name of the host for notes. */
export function hostName({ address }: HostConnection): string {
  return address.protocol === "ssh"
    ? address.hostname
    : address.protocol === "docker"
      ? address.container
      : address.pod;
}
