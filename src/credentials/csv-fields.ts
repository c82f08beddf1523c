/** Returns the fields of a line of CSV (RFC 4180), in which docker's options are written; undefined where quotes do not match. */
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
