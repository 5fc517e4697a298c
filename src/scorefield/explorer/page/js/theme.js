// The chosen theme, before the first paint; without a choice the browser's own preference holds.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("scorefield.theme"); } catch { /* storage may be forbidden */ }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => { document.documentElement.dataset.theme = chosen ?? (dark.matches ? "dark" : "light"); };
  apply();
  const announce = () => { apply(); document.dispatchEvent(new Event("theme")); };
  dark.addEventListener("change", announce);
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => { button.textContent = document.documentElement.dataset.theme === "dark" ? "Light" : "Dark"; };
    name();
    document.addEventListener("theme", name);
    button.addEventListener("click", () => {
      chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("scorefield.theme", chosen); } catch { /* the choice then lasts for this page */ }
      announce();
    });
  });
})();
