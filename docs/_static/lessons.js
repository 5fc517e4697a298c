// Scenes are loaded when they are opened: each is a page of megabytes.
for (const details of document.querySelectorAll(".live-scene")) {
  details.addEventListener("toggle", () => {
    const frame = details.querySelector("iframe");
    if (details.open && !frame.src) frame.src = frame.dataset.src;
  });
}
// Figures that a slider turns over: {frames, labels} in data-flip.
for (const figure of document.querySelectorAll("[data-flip]")) {
  const { frames, labels } = JSON.parse(figure.dataset.flip);
  const image = figure.querySelector("img"), slider = figure.querySelector("input"), said = figure.querySelector("output");
  let kept = null; // the others are fetched once somebody reaches for the slider
  slider.addEventListener("pointerenter", () => { kept ??= frames.map((address) => Object.assign(new Image(), { src: address })); });
  slider.addEventListener("input", () => {
    const k = Number(slider.value);
    image.src = frames[k];
    image.alt = said.textContent = labels[k];
    slider.setAttribute("aria-valuetext", labels[k]);
  });
}
