// A button on each block of code that copies it; of a console, the commands without prompts and outputs. Blocks of text
// are outputs and drawings, which have none.
"use strict";

function codeOf(block) {
  const copy = block.cloneNode(true);
  if (copy.querySelector(".gp")) {
    copy.querySelectorAll(".gp, .go").forEach((part) => part.remove());
  }
  return copy.textContent.replace(/\n{2,}$/, "\n");
}

if (navigator.clipboard) {
  document.querySelectorAll("div:not(.highlight-text) > div.highlight").forEach((block) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy-button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(codeOf(block.querySelector("pre")));
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    block.append(button);
  });
}
