const HIDDEN = "***";
const NAME = String.raw`[\w-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key)`;

/** `--password X`: the next word is hidden. */
const OPTION = new RegExp(`^--?${NAME}$`, "i");
/** `--password=X`, `PASSWORD=X`, in a word or in a shell command; a quoted value up to its closing quote. */
const ASSIGNED = new RegExp(String.raw`((?:^|[\s;&|("'])(?:--?)?${NAME}=)(?:"[^"]*"?|'[^']*'?|[^\s;&|"')]+)`, "gi");
/** `--password X` in a shell command. */
const FOLLOWED = new RegExp(String.raw`((?:^|\s)--?${NAME}\s+)(?:"[^"]*"?|'[^']*'?|[^\s;&|"'-][^\s;&|"']*)`, "gi");
/** The password in a URL (RFC 3986, 3.2.1). */
const IN_URL = /([a-z][a-z0-9+.-]*:\/\/[^\s/@:"']*:)[^\s/"']*@/gi;
/** `sshpass -p X` in a shell command. Other options may stand before -p; -f, -d and -P take a word. */
const SSHPASS = /(\bsshpass\s+(?:-[fdP]\s*\S+\s+|-[evhV]+\s+)*-p\s*)(?:"[^"]*"?|'[^']*'?|[^\s"']+)/g;

/**
 * Joins the words of a command for a message, with `***` in place of secrets: the word after `sshpass -p`; the value of an option or a
 * variable that is named password, passphrase, secret, token or API key; and the password in `scheme://user:password@host`.
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
    } else if (isSshpass && !word.startsWith("-") && !/^-[fdP]$/.test(before)) isSshpass = false; // the command that sshpass runs
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
