/**
 * Creates elements. Text is set as text: nothing in this folder parses a string as HTML, and the page's policy of
 * trusted types forbids it.
 */
export type Child = Node | string | undefined | false;

/** `class`, and attributes by their names; `undefined` and `false` omit one, `true` sets it to an empty value. */
export type Attributes = Record<string, string | number | boolean | undefined>;

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const result = document.createElement(tag);
  setAttributes(result, attributes);
  result.append(...children.filter((child) => child !== undefined && child !== false));
  return result;
}

export function setAttributes(target: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) target.removeAttribute(name);
    else target.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Returns an icon of the page's symbols. Screen readers skip it, because text follows it. */
export function icon(name: string): SVGElement {
  const svg = "http://www.w3.org/2000/svg";
  const result = document.createElementNS(svg, "svg");
  setAttributes(result, { class: `icon icon-${name}`, "aria-hidden": "true", viewBox: "0 0 16 16" });
  const use = document.createElementNS(svg, "use");
  use.setAttribute("href", `#i-${name}`);
  result.append(use);
  return result;
}

export function button(text: string, onClick: () => void, attributes: Attributes = {}): HTMLButtonElement {
  const result = element("button", { type: "button", ...attributes }, text);
  result.addEventListener("click", onClick);
  return result;
}

/** Returns an element of index.html. */
export function byId<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/** Sets the text of an element if it differs, so that a person's selection survives. */
export function setText(target: Element, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Returns a function that calls `run` once in the next frame, regardless of the number of calls before it. A hidden
 * page has no frames, so it uses a timer.
 */
export function oncePerFrame(run: () => void): () => void {
  let isDue = false;
  const now = (): void => {
    isDue = false;
    run();
  };
  return () => {
    if (isDue) return;
    isDue = true;
    if (document.visibilityState === "visible") requestAnimationFrame(now);
    else setTimeout(now, 200);
  };
}
