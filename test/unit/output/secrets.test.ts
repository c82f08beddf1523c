import { expect, test } from "vitest";
import { shownCommand } from "../../../src/output/secrets.ts";

test.each([
  ["sshpass -p hunter2 ssh prod docker-over-ssh pull app", "sshpass -p *** ssh prod docker-over-ssh pull app"],
  ["/usr/bin/sshpass -v -P prompt -phunter2 ssh -p 22 prod", "/usr/bin/sshpass -v -P prompt -p*** ssh -p 22 prod"],
  ["sshpass -e ssh -p 2222 prod", "sshpass -e ssh -p 2222 prod"],
  ["ssh -p 22 prod docker-over-ssh pull app:v1", "ssh -p 22 prod docker-over-ssh pull app:v1"],
  ["login --password hunter2 --user me", "login --password *** --user me"],
  ["login --password=hunter2 --passphrase=hunter2 x", "login --password=*** --passphrase=*** x"],
  ["login --password-stdin x", "login --password-stdin x"],
  [
    "env SSH_PASSWORD=hunter2 PGPASSWD=hunter2 API_KEY=hunter2 GITHUB_TOKEN=hunter2 A=b run",
    "env SSH_PASSWORD=*** PGPASSWD=*** API_KEY=*** GITHUB_TOKEN=*** A=b run",
  ],
  ["curl https://me:hunter2@example.com/x ssh://me@prod:22", "curl https://me:***@example.com/x ssh://me@prod:22"],
])("%s", (line, shown) => {
  expect(shownCommand(line.split(" "))).toBe(shown);
  // The same words in a command line for a shell.
  expect(shownCommand(["sh", "-c", `cd /x && ${line}`])).toBe(`sh -c cd /x && ${shown}`);
});

test("hides a word with spaces as a whole, even if it is quoted in a command line for a shell", () => {
  expect(shownCommand(["sshpass", "-p", "hunter 2", "ssh", "prod"])).toBe("sshpass -p *** ssh prod");
  expect(shownCommand(["ssh", "jump", `sshpass -p 'hunter 2' ssh prod; PASSWORD="hunter 2" x`])).toBe(
    "ssh jump sshpass -p *** ssh prod; PASSWORD=*** x",
  );
});
