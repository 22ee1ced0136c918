/* Two comforts of a password field, nothing that signing in needs: it says when Caps Lock is on, and a
   button shows what was typed. Without this script both stay hidden and the form works as it is. */
"use strict";

for (const reveal of document.querySelectorAll("[data-reveals]")) {
  const field = document.getElementById(reveal.dataset.reveals);
  reveal.hidden = false;
  reveal.addEventListener("click", () => {
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    reveal.setAttribute("aria-pressed", String(!shown));
    field.focus();
  });
  field.form.addEventListener("submit", () => {
    field.type = "password";
  });
}

for (const hint of document.querySelectorAll("[data-caps-lock-of]")) {
  const field = document.getElementById(hint.dataset.capsLockOf);
  const words = hint.dataset.words;
  const look = (event) => {
    hint.textContent = event.getModifierState?.("CapsLock") ? words : "";
  };
  field.addEventListener("keydown", look);
  field.addEventListener("keyup", look);
  field.addEventListener("blur", () => {
    hint.textContent = "";
  });
}
