// Comfort only: every page works without it.
"use strict";
for (const hint of document.querySelectorAll("[data-resend-in]")) {
  const button = hint.parentElement.querySelector("button");
  let seconds = Number(hint.dataset.resendIn);
  const tick = () => {
    button.disabled = seconds > 0;
    hint.hidden = seconds <= 0;
    if (seconds === 1) hint.textContent = hint.dataset.last;
    else if (seconds < 60) hint.textContent = hint.dataset.soon.replace("59", String(seconds));
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
for (const time of document.querySelectorAll("time")) {
  time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
}
