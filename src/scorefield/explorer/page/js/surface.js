// How a view of the plane is drawn, by what the browser has.

import { Flat } from "./flat.js";
import { View } from "./gl.js";
import { Raster } from "./raster.js";

const KIND = { alpha: false, antialias: false, depth: false };
const PROCESSOR = /swiftshader|llvmpipe|softpipe|software|basic render/i; // names of WebGL2 without a graphics card

function byProcessor(gl) {
  const named = gl.getExtension("WEBGL_debug_renderer_info");
  return PROCESSOR.test(gl.getParameter(named ? named.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
}

/** A view of the square [low, high]^2 of the plane on a canvas: WebGL2, with points stamped by the processor where it computes
 * WebGL2 itself; Canvas2D only where WebGL2 is missing. */
export function view(canvas, low, high) {
  const aside = document.createElement("canvas").getContext("webgl2", KIND);
  if (aside && byProcessor(aside)) return new Raster(canvas, aside, low, high);
  aside?.getExtension("WEBGL_lose_context")?.loseContext(); // a canvas that has had one kind of context takes no other
  const gl = aside && canvas.getContext("webgl2", KIND);
  return gl ? new View(canvas, gl, low, high) : new Flat(canvas, low, high);
}
