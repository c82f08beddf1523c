/** Command lines as they are shown: without the passwords that people put into them. */

const HIDDEN = "***";
const NAME = String.raw`[\w-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key)`;

/** `--password X`, and sshpass's `-p X`: the next word is one. */
const OPTION = new RegExp(`^--?${NAME}$`, "i");
/** `--password=X`, `PASSWORD=X`, in a word or in a line for a shell; a quoted one to its quote. */
const ASSIGNED = new RegExp(String.raw`((?:^|[\s;&|("'])(?:--?)?${NAME}=)(?:"[^"]*"?|'[^']*'?|[^\s;&|"')]+)`, "gi");
/** `--password X` in a line for a shell. */
const FOLLOWED = new RegExp(String.raw`((?:^|\s)--?${NAME}\s+)(?:"[^"]*"?|'[^']*'?|[^\s;&|"'-][^\s;&|"']*)`, "gi");
/** RFC 3986, 3.2.1: what stands behind the user's name. */
const IN_URL = /([a-z][a-z0-9+.-]*:\/\/[^\s/@:"']*:)[^\s/"']*@/gi;
/** In a line for a shell; sshpass's other options may stand before it, of which -f, -d and -P take a word. */
const SSHPASS = /(\bsshpass\s+(?:-[fdP]\s*\S+\s+|-[evhV]+\s+)*-p\s*)(?:"[^"]*"?|'[^']*'?|[^\s"']+)/g;

/**
 * The words of a command, joined. Hidden are: what follows `sshpass -p`, the value of an option or a variable whose name says that it is a
 * password, a passphrase, a secret, a token or an API key, and the password in `scheme://user:password@host`. All else stays as it is.
 */
export function shownCommand(words: readonly string[]): string {
  let isSshpass = false;
  const shown = words.map((word, index) => {
    const before = words[index - 1] ?? "";
    if (OPTION.test(before) && !word.startsWith("-")) return HIDDEN;
    if (/(?:^|\/)sshpass$/.test(word)) isSshpass = true;
    else if (isSshpass && before === "-p") {
      isSshpass = false;
      return HIDDEN;
    } else if (isSshpass && /^-p./.test(word)) {
      isSshpass = false;
      return `-p${HIDDEN}`;
    } else if (isSshpass && !word.startsWith("-") && !/^-[fdP]$/.test(before)) isSshpass = false; // its command
    return hidden(word);
  });
  return shown.join(" ");
}

function hidden(text: string): string {
  return text
    .replaceAll(ASSIGNED, `$1${HIDDEN}`)
    .replaceAll(FOLLOWED, `$1${HIDDEN}`)
    .replaceAll(SSHPASS, `$1${HIDDEN}`)
    .replaceAll(IN_URL, `$1${HIDDEN}@`);
}
