// Replaces `ssh HOST docker system dial-stdio`: relays its stdin and stdout to an engine's socket, or fails as ssh does.
// FAKE_SSH_LOG     file for a line of JSON for each start: { pid, argv }
// FAKE_SSH_SOCKET  the engine's socket
// FAKE_SSH_SAYS    text for stderr
// FAKE_SSH_STATUS  exit status: at once, or after FAKE_SSH_UNTIL
// FAKE_SSH_UNTIL   text of the engine after which it exits
// FAKE_SSH_BANNER  text for stdout before all else, as from a login shell's profile
import { appendFileSync, writeSync } from "node:fs";
import { connect } from "node:net";

const {
  FAKE_SSH_LOG,
  FAKE_SSH_SOCKET,
  FAKE_SSH_SAYS = "",
  FAKE_SSH_STATUS,
  FAKE_SSH_UNTIL,
  FAKE_SSH_BANNER = "",
} = process.env;
appendFileSync(FAKE_SSH_LOG, `${JSON.stringify({ pid: process.pid, argv: process.argv.slice(2) })}\n`);

writeSync(1, FAKE_SSH_BANNER);

function leave() {
  writeSync(2, FAKE_SSH_SAYS);
  process.exit(Number(FAKE_SSH_STATUS));
}

if (FAKE_SSH_STATUS !== undefined && FAKE_SSH_UNTIL === undefined) leave();
const engine = connect({ path: FAKE_SSH_SOCKET, allowHalfOpen: true });
process.stdin.pipe(engine);
engine.pipe(process.stdout);
engine.on("end", () => process.exit(0));
engine.on("data", (chunk) => {
  if (FAKE_SSH_UNTIL !== undefined && chunk.includes(FAKE_SSH_UNTIL)) process.stdout.write("", leave);
});
