// The same view where WebGL2 is computed by the processor: there every pixel that a frame covers costs. The map with its
// arrows is still drawn by WebGL2, where it changes; points are stamped on a copy of it.

import { View } from "./gl.js";

const PHASES = 8; // places of a point within its pixel, each way
const stamps = new Map();

/** The pixels of a round point of a diameter for each of its places within a pixel: [dx, dy, cover of 256, ...]. */
function stampsOf(size, alpha) {
  const key = `${size},${alpha}`;
  if (stamps.has(key)) return stamps.get(key);
  const reach = Math.ceil(size / 2 + 0.3), made = [];
  for (let v = 0; v < PHASES; v++) {
    for (let u = 0; u < PHASES; u++) {
      const pixels = [], [x0, y0] = [(u + 0.5) / PHASES, (v + 0.5) / PHASES];
      for (let y = -reach; y <= reach; y++) {
        for (let x = -reach; x <= reach; x++) {
          const cover = Math.round(256 * alpha * Math.min(1, size / 2 + 0.3 - Math.hypot(x + 0.5 - x0, y + 0.5 - y0)));
          if (cover > 0) pixels.push(x, y, cover);
        }
      }
      made.push(Int32Array.from(pixels));
    }
  }
  stamps.set(key, { reach, made });
  return stamps.get(key);
}

/** Lays a colour, 0xAABBGGRR, over one of a square picture's pixels, for 256 wholly. */
function lay(pixels, at, odd, even, cover) {
  const under = pixels[at], rest = 256 - cover;
  pixels[at] = 0xff000000 | ((((under & 0xff00ff) * rest + odd * cover + 0x800080) >>> 8) & 0xff00ff)
    | ((((under & 0xff00) * rest + even * cover + 0x8000) >>> 8) & 0xff00);
}

/** Stamps points (k, 2) of the window [low, high]^2 on a picture of side x side pixels. */
export function stamp(pixels, side, { data, size, alpha, rgb: [red, green, blue] }, low, high) {
  const { reach, made } = stampsOf(size, alpha), scale = side / (high - low);
  const odd = Math.round(255 * red) | (Math.round(255 * blue) << 16), even = Math.round(255 * green) << 8;
  for (let i = 0; i + 1 < data.length; i += 2) {
    const cx = (data[i] - low) * scale, cy = (high - data[i + 1]) * scale;
    if (!(cx >= 0 && cx <= side && cy >= 0 && cy <= side)) continue; // nor one that is no number
    const x = cx | 0, y = cy | 0, one = made[((cy - y) * PHASES | 0) * PHASES + ((cx - x) * PHASES | 0)];
    if (x >= reach && y >= reach && x + reach < side && y + reach < side) {
      for (let j = 0; j < one.length; j += 3) lay(pixels, (y + one[j + 1]) * side + x + one[j], odd, even, one[j + 2]);
    } else {
      for (let j = 0; j < one.length; j += 3) {
        const u = x + one[j], v = y + one[j + 1];
        if (u >= 0 && v >= 0 && u < side && v < side) lay(pixels, v * side + u, odd, even, one[j + 2]);
      }
    }
  }
}

export class Raster extends View {
  /** gl: a context of a canvas that is not in the page. */
  constructor(canvas, gl, low, high) {
    super(canvas, gl, low, high);
    this.pen = canvas.getContext("2d", { alpha: false, desynchronized: true }); // a frame passes through fewer hands
  }

  paintBase(colours) {
    super.paintBase(colours);
    const gl = this.gl, side = this.canvas.width;
    if (this.image?.width !== side) {
      this.image = new ImageData(side, side);
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.map = new Uint32Array(side * side);
      this.read = new Uint8Array(4 * side * side);
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.readPixels(0, 0, side, side, gl.RGBA, gl.UNSIGNED_BYTE, this.read);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    const rows = new Uint32Array(this.read.buffer);
    for (let y = 0; y < side; y++) this.map.set(rows.subarray((side - 1 - y) * side, (side - y) * side), y * side);
  }

  paintMoving(layers, colours) {
    const { canvas: { width: side }, low, high, px } = this;
    this.pixels.set(this.map);
    for (const { data, size = 4, alpha = 1, colour } of layers) stamp(this.pixels, side, { data, size: size * px, alpha, rgb: colours.css(colour) }, low, high);
    this.pen.putImageData(this.image, 0, 0);
  }
}
