// Below each result of the search: the part of the page that was searched for, from the texts in search_texts.js, which a
// page that is opened from a disk may load, too.
(() => {
  const WIDTH = 240, BEFORE = 80;

  // The first of the words at or after a place, else the place itself.
  const found = (text, words, from, to) => {
    const places = words.map((word) => text.indexOf(word, from)).filter((at) => at >= from && at < to);
    return places.length ? Math.min(...places) : from;
  };

  const excerpt = ([text, anchors], anchor, words) => {
    const from = anchors[anchor] ?? 0;
    const next = Object.values(anchors).filter((at) => at > from);
    const to = anchor && next.length ? Math.min(...next) : text.length;
    const named = words.some((word) => anchor.toLowerCase().includes(word)); // then what it is, from its beginning
    const at = named ? from : found(text.toLowerCase(), words, from, to);
    const start = Math.max(from, at - BEFORE), first = start > from ? text.indexOf(" ", start) + 1 : start;
    const end = first + WIDTH < text.length ? text.lastIndexOf(" ", first + WIDTH) : text.length;
    return `${first > from ? "… " : ""}${text.slice(first, Math.max(end, first)).trim()}${end < text.length ? " …" : ""}`;
  };

  // The excerpt as a paragraph with the words marked.
  const shown = (text, words) => {
    const paragraph = Object.assign(document.createElement("p"), { className: "context" });
    const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
    for (const [k, part] of (escaped ? text.split(new RegExp(`(${escaped})`, "gi")) : [text]).entries()) {
      paragraph.append(k % 2 ? Object.assign(document.createElement("mark"), { textContent: part }) : part);
    }
    return paragraph;
  };

  const add = (item) => {
    const link = item.querySelector("a");
    if (!link || item.querySelector(".context")) return;
    const [path, anchor = ""] = link.getAttribute("href").split("#");
    const page = window.SEARCH_TEXTS?.[decodeURIComponent(path.replace(/\.html$/, ""))];
    if (!page) return;
    const words = (new URLSearchParams(location.search).get("q") ?? "").toLowerCase().split(/[\s()]+/).filter((word) => word.length > 1);
    item.append(shown(excerpt(page, decodeURIComponent(anchor), words), words));
  };

  const base = new URL(".", document.currentScript.src);
  document.addEventListener("DOMContentLoaded", () => {
    const results = document.getElementById("search-results");
    if (!results) return;
    const all = () => results.querySelectorAll("li").forEach(add);
    new MutationObserver(all).observe(results, { childList: true, subtree: true });
    const texts = Object.assign(document.createElement("script"), { src: new URL("search_texts.js", base).href });
    texts.addEventListener("load", all);
    document.head.append(texts);
  });
})();
