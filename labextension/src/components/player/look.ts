/** What of the poses is drawn, and how; and what follows from it for each point. */

import { coloursOf, type ColourBy } from "./palette";

export interface Look {
  /** Radius of the dots; 1 is what suits the size of the picture. */
  dots: number;
  /** Frames whose positions follow each point. */
  trail: number;
  labels: boolean;
  skeleton: boolean;
  /** 1: as recorded. */
  brightness: number;
  colourBy: ColourBy;
  hiddenParts: ReadonlySet<string>;
  hiddenIndividuals: ReadonlySet<string>;
}

export const USUAL: Look = {
  dots: 1,
  trail: 0,
  labels: false,
  skeleton: true,
  brightness: 1,
  colourBy: "bodypart",
  hiddenParts: new Set(),
  hiddenIndividuals: new Set(),
};

/** Everything about the points that does not change from frame to frame. */
export interface Cast {
  /** Numbers of the points that are drawn. */
  shown: Uint16Array;
  /** The colour and the name of each point, of all. */
  colours: string[];
  names: string[];
  /** Pairs of points that lines join, one behind the other. */
  bones: Uint16Array;
  /** The colour of each line's individual; white where there is one animal. */
  boneColours: string[];
}

export function castOf(
  points: readonly [string, string][],
  skeleton: readonly [string, string][],
  look: Pick<Look, "hiddenParts" | "hiddenIndividuals" | "colourBy">,
): Cast {
  const seen = points.map(
    ([individual, part]) => !look.hiddenParts.has(part) && !look.hiddenIndividuals.has(individual),
  );
  const individuals = [...new Set(points.map(([individual]) => individual))];
  const animals = coloursOf(points, "individual");
  const at = new Map(points.map(([individual, part], number) => [`${individual}\n${part}`, number]));
  const bones: number[] = [];
  const boneColours: string[] = [];
  for (const individual of individuals) {
    for (const [one, other] of skeleton) {
      const [from, to] = [at.get(`${individual}\n${one}`), at.get(`${individual}\n${other}`)];
      if (from === undefined || to === undefined || !seen[from] || !seen[to]) continue;
      bones.push(from, to);
      boneColours.push(individuals.length > 1 ? (animals[from] ?? "white") : "white");
    }
  }
  return {
    shown: Uint16Array.from([...points.keys()].filter((number) => seen[number])),
    colours: coloursOf(points, look.colourBy),
    names: points.map(([individual, part]) => (individuals.length > 1 && individual ? `${individual} ${part}` : part)),
    bones: Uint16Array.from(bones),
    boneColours,
  };
}
