// Colours come from the style sheet's variables, so that the pictures follow the theme.

let cache = null;
document.addEventListener("theme", () => { cache = null; });

function parse(text) {
  const hex = text.trim().replace("#", "");
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
}

/** The colours of the theme that holds now: map stops, contour and arrow inks, any variable by name. */
export function theme() {
  if (cache) return cache;
  const style = getComputedStyle(document.documentElement);
  const named = new Map();
  const css = (name) => {
    if (!named.has(name)) named.set(name, parse(style.getPropertyValue(`--${name}`)));
    return named.get(name);
  };
  cache = {
    css,
    text: (name) => style.getPropertyValue(`--${name}`).trim(),
    stops: new Float32Array([0, 1, 2, 3, 4, 5].flatMap((k) => css(`map-${k}`))),
    contour: new Float32Array([...css("contour"), Number(style.getPropertyValue("--contour-alpha"))]),
    arrow: new Float32Array([...css("arrow"), Number(style.getPropertyValue("--arrow-alpha"))]),
  };
  return cache;
}
