// What the page does by itself: the heat map's opacity, paste, the tabs' keys, what a screen reader is told, and a
// first word on files that are too large.
// Gradio draws the page after this has run, so everything is listened for on the document.
(() => {
  // Gradio puts what belongs into the head there twice.
  if (window.secondLook.listening) return;
  window.secondLook.listening = true;
  const { maxBytes, tooLarge } = window.secondLook;

  document.addEventListener("input", ({ target }) => {
    const film = target.closest?.(".sl-film");
    if (!film || target.type !== "range") return;
    film.style.setProperty("--sl-opacity", target.value / 100);
    film.querySelector("output").value = `${target.value}\u202f%`;
  });

  const shown = (element) => element.getClientRects().length > 0;

  const panelOf = (element) => element?.closest?.("[role=tabpanel]");

  const notice = (panel, text) => {
    const line = panel?.querySelector(".sl-notice");
    if (line) line.textContent = text;
  };

  // Before Gradio sees the files: it would refuse a large one in words of its own, or after minutes of upload.
  const refuseLarge = (event, files) => {
    const panel = panelOf(event.target);
    const large = [...(files ?? [])].some((file) => file.size > maxBytes);
    notice(panel, large ? tooLarge : "");
    if (!large) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.target.type === "file") event.target.value = "";
  };
  document.addEventListener("change", (event) => {
    if (event.target.type === "file") refuseLarge(event, event.target.files);
  }, true);
  document.addEventListener("drop", (event) => refuseLarge(event, event.dataTransfer?.files), true);

  // Gradio's file component takes no paste; it is handed the pasted file as if it had been picked.
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    const panel = [...document.querySelectorAll("[role=tabpanel]")].find(shown);
    const input = panel?.querySelector(".sl-upload input[type=file]");
    if (!file || !input) return;
    event.preventDefault();
    const files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });

  // The keys of the ARIA tabs pattern; Gradio's tabs know Tab and Enter only.
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    const tabs = [...(target.closest?.("[role=tablist]")?.querySelectorAll("[role=tab]") ?? [])];
    const at = tabs.indexOf(target);
    const to = { ArrowLeft: at - 1, ArrowRight: (at + 1) % tabs.length, Home: 0, End: -1 }[key];
    if (at < 0 || to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    tabs.at(to).focus();
    tabs.at(to).click();
  });

  // A screen reader speaks of what changes in a place that it knows. An answer is new as a whole, so its words are
  // said again in one place that stays.
  const said = new WeakSet();
  new MutationObserver(() => {
    const answers = [...document.querySelectorAll(".sl-verdict, .sl-batch")];
    const answer = answers.find((each) => shown(each) && !said.has(each));
    if (!answer) return;
    said.add(answer);
    const lines = answer.querySelectorAll("h3, p:not(.sl-kicker, .sl-file, .sl-risk, .sl-caution)");
    const spoken = [...lines].map(({ textContent }) => Object.assign(document.createElement("p"), { textContent }));
    document.querySelector(".sl-aloud").replaceChildren(...spoken);
  }).observe(document, { childList: true, subtree: true });
})();
