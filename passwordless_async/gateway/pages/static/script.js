// Comfort only: every page works without it.
"use strict";
for (const hint of document.querySelectorAll("[data-resend-in]")) {
  const button = hint.parentElement.querySelector("button");
  const text = hint.textContent;
  let seconds = Number(hint.dataset.resendIn);
  const tick = () => {
    button.disabled = seconds > 0;
    hint.hidden = seconds <= 0;
    hint.textContent = text.replace(/\d+/, String(seconds));
    if (seconds-- > 0) setTimeout(tick, 1000);
  };
  tick();
}
for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", () => { for (const button of form.querySelectorAll("button")) setTimeout(() => { button.disabled = true; }); });
}
for (const form of document.querySelectorAll("[data-repeat-every]")) {
  setTimeout(() => form.requestSubmit(), Number(form.dataset.repeatEvery) * 1000);
}
