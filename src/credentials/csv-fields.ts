/** Returns the fields of a line of CSV (RFC 4180), the syntax of docker's options; undefined if quotes do not match. */
export function csvFields(line: string): string[] | undefined {
  const fields: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(?:,|$)/y;
  for (let isLast = false; !isLast;) {
    const match = field.exec(line);
    if (match === null) return undefined;
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    isLast = !match[0].endsWith(",");
  }
  return fields;
}
