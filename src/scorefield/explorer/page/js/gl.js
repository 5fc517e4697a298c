// Drawing of one square view of the plane: a heat map with contours, arrows, particles and lines. WebGL2.
// Heat map and arrows change rarely: they are drawn once into a texture, which every frame copies.

import { theme } from "./theming.js";

const VERSION = "#version 300 es\nprecision highp float;\n";
const QUAD = `${VERSION}
layout(location=0) in vec2 corner; out vec2 uv;
void main() { uv = corner * .5 + .5; gl_Position = vec4(corner, 0, 1); }`;
const HEAT = `${VERSION}
in vec2 uv; out vec4 pixel; uniform highp sampler2D field; uniform vec2 range; uniform vec3 stops[6];
uniform float contour; uniform vec4 ink;
float at(ivec2 p, ivec2 size) { return texelFetch(field, clamp(p, ivec2(0), size - 1), 0).r; }
void main() {
  ivec2 size = textureSize(field, 0);
  vec2 p = uv * vec2(size - 1); ivec2 i = ivec2(floor(p)); vec2 f = p - vec2(i);
  float v = mix(mix(at(i, size), at(i + ivec2(1, 0), size), f.x),
                mix(at(i + ivec2(0, 1), size), at(i + ivec2(1, 1), size), f.x), f.y);
  float t = clamp((v - range.x) / (range.y - range.x), 0., 1.) * 5.;
  int k = int(min(floor(t), 4.));
  vec3 colour = mix(stops[k], stops[k + 1], t - float(k));
  float level = (range.y - v) / contour;
  float edge = abs(fract(level - .5) - .5) / max(fwidth(level), 1e-4);
  float line = contour > 0. && v > range.x ? (1. - clamp(edge - .2, 0., 1.)) * ink.a : 0.;
  pixel = vec4(mix(colour, ink.rgb, line), 1);
}`;
const COPY = `${VERSION} in vec2 uv; out vec4 pixel; uniform sampler2D image; void main() { pixel = texture(image, uv); }`;
const ARROW = `${VERSION}
layout(location=0) in vec2 corner; layout(location=1) in vec2 place; layout(location=2) in vec2 arrow;
uniform vec4 window; uniform vec2 size; uniform float px, cell, reference;
out vec2 local; out float reach;
void main() {
  float norm = length(arrow); vec2 along = norm > 0. ? arrow / norm : vec2(1, 0);
  reach = cell * norm / (norm + reference);
  local = corner * vec2(reach * .5 + 2. * px, 5. * px);
  vec2 centre = (place - window.xy) / window.zw * size;
  vec2 at = centre + along * local.x + vec2(-along.y, along.x) * local.y;
  gl_Position = vec4(at / size * 2. - 1., 0, 1);
}`;
const ARROW_INK = `${VERSION}
in vec2 local; in float reach; out vec4 pixel; uniform vec4 ink; uniform float px;
void main() {
  float head = min(6. * px, reach * .6), half_ = local.x < reach * .5 - head ? .75 * px : (reach * .5 - local.x) * .5;
  float ends = min(local.x + reach * .5, reach * .5 - local.x) + .5;
  float a = clamp(half_ - abs(local.y) + .5, 0., 1.) * clamp(ends, 0., 1.) * ink.a * clamp(reach / (3. * px), 0., 1.);
  pixel = vec4(ink.rgb * a, a);
}`;
const MARK = `${VERSION}
layout(location=0) in vec2 place; uniform vec4 window; uniform float point;
void main() { gl_Position = vec4((place - window.xy) / window.zw * 2. - 1., 0, 1); gl_PointSize = point; }`;
const POINT_INK = `${VERSION}
out vec4 pixel; uniform vec4 ink; uniform float point;
void main() {
  float a = clamp((.5 - length(gl_PointCoord - .5)) * point + .3, 0., 1.) * ink.a;
  pixel = vec4(ink.rgb * a, a);
}`;
const LINE_INK = `${VERSION} out vec4 pixel; uniform vec4 ink; void main() { pixel = vec4(ink.rgb * ink.a, ink.a); }`;

function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(`shader: ${gl.getProgramInfoLog(made)}`);
  const places = new Map();
  return {
    made,
    at(name) { if (!places.has(name)) places.set(name, gl.getUniformLocation(made, name)); return places.get(name); },
  };
}

/** A view of the square [low, high]^2 of the plane on a canvas, by a context of WebGL2. */
export class View {
  constructor(canvas, gl, low, high) {
    Object.assign(this, { canvas, gl, low, high, layers: new Map(), field: null, vectors: null, dirty: true });
    this.frames = [];
    this.setup();
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(canvas);
    this.retheme = () => { this.dirty = true; this.draw(); };
    document.addEventListener("theme", this.retheme);
    gl.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    gl.canvas.addEventListener("webglcontextrestored", () => { this.setup(); this.restore(); });
  }

  setup() {
    const gl = this.gl;
    this.programs = {
      heat: program(gl, QUAD, HEAT), copy: program(gl, QUAD, COPY), arrow: program(gl, ARROW, ARROW_INK),
      point: program(gl, MARK, POINT_INK), line: program(gl, MARK, LINE_INK),
    };
    this.quad = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.quad);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    this.places = gl.createBuffer();
    this.arrowData = gl.createBuffer();
    this.texture = gl.createTexture();
    this.base = gl.createTexture();
    this.frame = gl.createFramebuffer();
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.resize();
  }

  restore() {
    if (this.field) this.heat(this.field.array, this.field.low, this.field.high, this.field.contour);
    if (this.vectors) this.arrows(this.vectors.places, this.vectors.arrows, this.vectors.cells, this.vectors.reference);
    for (const layer of this.layers.values()) { layer.buffer = null; layer.stale = true; }
    this.draw();
  }

  resize() {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const side = Math.max(64, Math.round(this.canvas.clientWidth * ratio));
    if (this.canvas.width !== side || !this.sized) {
      for (const one of new Set([this.canvas, this.gl.canvas])) one.width = one.height = side;
      this.px = ratio;
      const gl = this.gl;
      gl.bindTexture(gl.TEXTURE_2D, this.base);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, side, side, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
      for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
      gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.base, 0);
      gl.bindFramebuffer(gl.FRAMEBUFFER, null);
      this.sized = true;
    }
    this.dirty = true;
    this.draw();
  }

  /** The map of an (n, n) array, rows along y, between the values low and high; contours every `contour`. */
  heat(array, low, high, contour = 1) {
    const gl = this.gl;
    this.field = array && { array, low, high, contour };
    if (array) {
      gl.bindTexture(gl.TEXTURE_2D, this.texture);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32F, array.shape[1], array.shape[0], 0, gl.RED, gl.FLOAT, array.data);
      for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    }
    this.dirty = true;
    this.draw();
  }

  /** Arrows at places (k, 2); length v / (v + reference) of a cell, `cells` of which span the view. */
  arrows(places, arrows, cells, reference) {
    this.vectors = places && { places, arrows, cells, reference };
    this.dirty = true;
    this.draw();
  }

  /** A layer of points, or of line segments, which lie below and are drawn once with the map: {kind, data: (k, 2), colour:
   * css variable, size, alpha}. */
  layer(name, spec) {
    const old = this.layers.get(name), still = spec.kind === "line";
    this.layers.set(name, { ...spec, still, buffer: old?.buffer ?? null, stale: true });
    if (still) this.dirty = true;
    this.draw();
  }

  remove(name) {
    const layer = this.layers.get(name);
    if (layer?.buffer) this.gl.deleteBuffer(layer.buffer);
    if (layer?.still) this.dirty = true;
    this.layers.delete(name);
    this.draw();
  }

  draw() {
    if (this.pending || this.gone) return;
    this.pending = requestAnimationFrame(() => { this.pending = 0; this.paint(); });
  }

  use(made, data, size) {
    const gl = this.gl;
    gl.useProgram(made.made);
    gl.bindBuffer(gl.ARRAY_BUFFER, data);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, size, gl.FLOAT, false, 0, 0);
    gl.vertexAttribDivisor(0, 0);
  }

  paintBase(colours) {
    const gl = this.gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.clearColor(...colours.stops.slice(0, 3), 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.activeTexture(gl.TEXTURE0);
    if (this.field) {
      const { heat } = this.programs;
      this.use(heat, this.quad, 2);
      gl.bindTexture(gl.TEXTURE_2D, this.texture);
      gl.uniform1i(heat.at("field"), 0);
      gl.uniform2f(heat.at("range"), this.field.low, this.field.high);
      gl.uniform1f(heat.at("contour"), this.field.contour);
      gl.uniform3fv(heat.at("stops"), colours.stops);
      gl.uniform4fv(heat.at("ink"), colours.contour);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
    if (this.vectors) this.paintArrows(colours.arrow);
    for (const layer of this.layers.values()) if (layer.still) this.paintLayer(layer, colours);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  paintArrows(ink) {
    const gl = this.gl, { arrow } = this.programs, side = this.canvas.width;
    this.use(arrow, this.quad, 2);
    for (const [place, buffer, data] of [[1, this.places, this.vectors.places], [2, this.arrowData, this.vectors.arrows]]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, 2, gl.FLOAT, false, 0, 0);
      gl.vertexAttribDivisor(place, 1);
    }
    const span = this.high - this.low;
    gl.uniform4f(arrow.at("window"), this.low, this.low, span, span);
    gl.uniform2f(arrow.at("size"), side, side);
    gl.uniform1f(arrow.at("px"), this.px);
    gl.uniform1f(arrow.at("cell"), side / this.vectors.cells);
    gl.uniform1f(arrow.at("reference"), this.vectors.reference);
    gl.uniform4fv(arrow.at("ink"), ink);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.vectors.places.length / 2);
    gl.disableVertexAttribArray(1);
    gl.disableVertexAttribArray(2);
  }

  paint() {
    const gl = this.gl, start = performance.now(), colours = theme();
    if (gl.isContextLost()) return;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    if (this.dirty) { this.paintBase(colours); this.dirty = false; }
    this.paintMoving([...this.layers.values()].filter((one) => !one.still), colours);
    this.frames.push([start, performance.now() - start]);
    if (this.frames.length > 240) this.frames.shift();
  }

  paintMoving(layers, colours) {
    const gl = this.gl, { copy } = this.programs;
    this.use(copy, this.quad, 2);
    gl.bindTexture(gl.TEXTURE_2D, this.base);
    gl.uniform1i(copy.at("image"), 0);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    for (const layer of layers) this.paintLayer(layer, colours);
  }

  paintLayer(layer, colours) {
    const gl = this.gl, made = this.programs[layer.kind];
    if (!layer.buffer) layer.buffer = gl.createBuffer();
    this.use(made, layer.buffer, 2);
    if (layer.stale) { gl.bufferData(gl.ARRAY_BUFFER, layer.data, gl.DYNAMIC_DRAW); layer.stale = false; }
    const span = this.high - this.low, [red, green, blue] = colours.css(layer.colour);
    gl.uniform4f(made.at("window"), this.low, this.low, span, span);
    gl.uniform4f(made.at("ink"), red, green, blue, layer.alpha ?? 1);
    if (layer.kind === "point") gl.uniform1f(made.at("point"), (layer.size ?? 4) * this.px);
    gl.drawArrays(layer.kind === "point" ? gl.POINTS : gl.LINES, 0, layer.data.length / 2);
  }

  close() {
    this.gone = true;
    cancelAnimationFrame(this.pending);
    this.resizing.disconnect();
    document.removeEventListener("theme", this.retheme);
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
