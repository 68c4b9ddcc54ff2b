/** How quickly something goes, over the last seconds. */

const SPAN = 5000;

export class Rate {
  private readonly seen: [at: number, done: number][] = [];

  /** Note how much is done at a moment (milliseconds). */
  note(at: number, done: number): void {
    this.seen.push([at, done]);
    while (this.seen.length > 2 && at - (this.seen[1]?.[0] ?? at) >= SPAN) this.seen.shift();
  }

  /** Units a second; null while it is too early to say. */
  get perSecond(): number | null {
    const [first, last] = [this.seen[0], this.seen.at(-1)];
    if (!first || !last || last[0] - first[0] < 300) return null;
    return ((last[1] - first[1]) * 1000) / (last[0] - first[0]);
  }

  /** Begin anew: after a pause the time before it does not count. */
  forget(): void {
    this.seen.length = 0;
  }
}
