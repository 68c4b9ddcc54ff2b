/** Colours of body parts and individuals: those that DeepLabCut gives them in labelled videos. */

export type Rgb = [number, number, number];

/** matplotlib's `rainbow`, DeepLabCut's usual one (its formulas: matplotlib/_cm.py, gnuplot's functions 33, 13 and 10). */
export function rainbow(at: number): Rgb {
  // matplotlib's tables have 256 steps.
  const x = Math.min(255, Math.floor(at * 256)) / 255;
  return [Math.abs(2 * x - 0.5), Math.sin(x * Math.PI), Math.cos((x * Math.PI) / 2)].map(byte) as Rgb;
}

function byte(part: number): number {
  return Math.floor(Math.min(1, Math.max(0, part)) * 255);
}

/** So many colours, from the beginning of the map to its end. */
export function shades(count: number): string[] {
  return Array.from({ length: count }, (_, number) => css(rainbow(count < 2 ? 0 : number / (count - 1))));
}

export function css([red, green, blue]: Rgb): string {
  return `rgb(${red} ${green} ${blue})`;
}

export type ColourBy = "bodypart" | "individual";

/** Return the colour of each point. */
export function coloursOf(points: readonly [string, string][], by: ColourBy): string[] {
  const names = points.map((point) => point[by === "bodypart" ? 1 : 0]);
  const different = [...new Set(names)];
  const colours = shades(different.length);
  return names.map((name) => colours[different.indexOf(name)] ?? "rgb(255 255 255)");
}

/** How sure the network was, as 256 colours that are quiet above the threshold and loud below it; for the time line. */
export function likelihoodRamp(threshold: number): Uint8ClampedArray {
  const table = new Uint8ClampedArray(4 * 256);
  for (let number = 0; number < 256; number++) {
    const likelihood = number / 254;
    const below = likelihood <= threshold;
    const part = below
      ? likelihood / Math.max(threshold, 1e-6)
      : (likelihood - threshold) / Math.max(1 - threshold, 1e-6);
    const [from, to]: [Rgb, Rgb] = below
      ? [
          [190, 40, 10],
          [245, 165, 60],
        ]
      : [
          [176, 200, 216],
          [96, 150, 186],
        ];
    for (let channel = 0; channel < 3; channel++) {
      const [start, end] = [from[channel] as number, to[channel] as number];
      table[4 * number + channel] = start + (end - start) * Math.min(1, part);
    }
    table[4 * number + 3] = 255;
  }
  // Unknown: nothing is painted.
  table[4 * 255 + 3] = 0;
  return table;
}
