// The pictures that stand on the page, for those who record them: each paints itself on a canvas or says itself as SVG.

const stages = new Set();

/** Adds a picture {box: its frame, words(): what is written under it, base(pen, x, y, w, h): paints what lies under its overlay, overlay: an
 * element of SVG in a square of 1000 or null, vector(): what base paints, as elements of SVG, 1000 wide}. */
export function add(stage) { stages.add(stage); }

export function remove(stage) { stages.delete(stage); }

/** Those that are seen, from left to right and from above, each with where it lies in the page. */
export function seen() {
  return [...stages].filter(({ box }) => box.isConnected && box.clientWidth && box.checkVisibility())
    .map((stage) => ({ stage, at: stage.box.getBoundingClientRect() }))
    .sort((a, b) => (Math.abs(a.at.top - b.at.top) < 40 ? a.at.left - b.at.left : a.at.top - b.at.top));
}
