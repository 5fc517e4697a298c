// A button on each block of code that copies what is to be typed: without prompts, and of a session without its answers.
(() => {
  const code = (block) => {
    const pre = block.querySelector("pre");
    if (!pre.querySelector(".gp")) return pre.textContent;
    const typed = pre.textContent.split("\n").filter((line) => /^\s*(?:>>>|\.\.\.|\$)(?: |$)/.test(line));
    return typed.map((line) => line.replace(/^\s*(?:>>>|\.\.\.|\$) ?/, "")).join("\n");
  };

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // a page that is opened from a disk, in some browsers
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };

  const add = (block) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "copy", textContent: "Copy" });
    button.setAttribute("aria-label", "Copy this code");
    button.addEventListener("click", async () => {
      await copy(`${code(block).trimEnd()}\n`);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    block.append(button);
  };

  addEventListener("DOMContentLoaded", () => {
    for (const block of document.querySelectorAll("article div.highlight")) {
      if (block.querySelector("pre") && !block.closest(".sphx-glr-script-out")) add(block);
    }
  });
})();
