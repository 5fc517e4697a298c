// Every scene opens with one question. The main control stays locked until an answer is chosen; the picture then
// answers, and two sentences explain it, with their formula and source.

import { make, prose } from "./controls.js";
import { embedded, lecturing } from "./lecture.js";
import { QUESTIONS } from "./questions.js";

const remembered = new Map();

function recall(scene) {
  try { return sessionStorage.getItem(`scorefield.${scene}`) ?? remembered.get(scene) ?? null; } catch { return remembered.get(scene) ?? null; }
}

function remember(scene, choice) {
  remembered.set(scene, choice);
  try { sessionStorage.setItem(`scorefield.${scene}`, choice); } catch { /* it then lasts as long as the page */ }
}

/** {root, moved()}: call moved() when the main control has been used; lock(locked) gets whether it is locked. */
export function question(scene, lock) {
  const { prompt, options, correct, doing, answer, formula, source } = QUESTIONS[scene];
  const body = make("div", { className: "question-body" });
  const heading = make("h2", {}, "First, commit");
  const root = make("section", { className: "card question", "aria-label": "Question" }, heading, body);
  let seen = false;
  const choice = recall(scene);

  const reveal = (picked) => {
    const right = picked === correct, said = picked === null ? "" : right ? "As you said: " : `You said “${options[picked]}”. `;
    const verdict = make("p", { className: "verdict" }, ...prose(said),
      make("strong", {}, ...prose(options[correct])), ".");
    verdict.dataset.right = right || picked === null;
    heading.textContent = "The answer";
    body.replaceChildren(make("p", { className: "prompt" }, prompt), verdict, make("p", {}, ...prose(answer)),
      make("p", { className: "formula" }, ...prose(formula)), make("p", { className: "source" }, ...prose(source)));
  };
  const unlocked = (picked) => {
    lock(false);
    heading.textContent = "Now see";
    const show = make("button", { type: "button" }, "Show the answer");
    show.dataset.name = "answer";
    show.addEventListener("click", () => { seen = true; reveal(picked); });
    body.replaceChildren(make("p", { className: "prompt" }, prompt),
      make("p", { className: "doing" }, ...prose(`${picked === null ? "" : `You said “${options[picked]}”. `}${doing}`)), show);
  };
  const showQuestion = () => {
    lock(true);
    const commit = make("button", { type: "submit", className: "primary", disabled: true }, "Commit");
    commit.dataset.name = "commit";
    const form = make("form", {}, make("fieldset", {}, make("legend", { className: "prompt" }, prompt),
      ...options.map((text, at) => {
        const input = make("input", { type: "radio", name: "answer", value: String(at) });
        input.addEventListener("change", () => { commit.disabled = false; });
        return make("label", { className: "option" }, input, make("span", {}, ...prose(text)));
      })), commit);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const picked = Number(new FormData(form).get("answer"));
      remember(scene, String(picked));
      unlocked(picked);
      root.dispatchEvent(new Event("committed"));
    });
    body.replaceChildren(form);
  };
  if (lecturing() || embedded) unlocked(null);
  else if (choice === null) showQuestion();
  else unlocked(Number(choice));
  return {
    root,
    moved() {
      const picked = recall(scene);
      if (seen || picked === null || lecturing() || embedded) return;
      seen = true;
      setTimeout(() => reveal(Number(picked)), 1200);
    },
  };
}
