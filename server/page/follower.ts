/**
 * Keeps the end of a scrolled element in view while it grows, until a person scrolls up, and again when they scroll to
 * the end.
 */
export class Follower {
  readonly #scroller: HTMLElement;
  readonly #onChange: () => void;
  #isOn = false;
  /** A person has switched it off: reaching the end of the log does not switch it on. */
  #isOff = false;
  #lastTop = 0;

  constructor(scroller: HTMLElement, onChange: () => void) {
    this.#scroller = scroller;
    this.#onChange = onChange;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** @param isWish whether a person has requested it */
  set(isOn: boolean, isWish = false): void {
    if (isWish) this.#isOff = !isOn;
    const hasChanged = this.#isOn !== isOn;
    this.#isOn = isOn;
    this.#scroller.classList.toggle("followed", isOn);
    if (isOn) this.toEnd();
    if (hasChanged) this.#onChange();
  }

  /** Resets the state for another log */
  reset(): void {
    [this.#isOn, this.#isOff, this.#lastTop] = [false, false, 0];
    this.#scroller.classList.remove("followed");
    this.#scroller.scrollTop = 0;
  }

  toEnd(): void {
    if (!this.#isOn) return;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#lastTop = this.#scroller.scrollTop;
  }

  #scrolled(): void {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 48;
    const isUp = scrollTop < this.#lastTop - 2;
    this.#lastTop = scrollTop;
    if (this.#isOn && isUp && !isAtEnd) this.set(false);
    else if (!this.#isOn && !this.#isOff && !isUp && isAtEnd && this.mayFollow) this.set(true);
  }

  /** Whether the log is growing. */
  mayFollow = false;
}
