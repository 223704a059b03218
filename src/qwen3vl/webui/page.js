// Files may be dropped or pasted anywhere on the page: they are handed to the question's own file input.
(() => {
  const input = () => document.querySelector('#prompt input[type="file"]');

  const take = (files) => {
    const target = input();
    if (!target || files.length === 0) return;
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(file);
    target.files = transfer.files;
    target.dispatchEvent(new Event("change", { bubbles: true }));
  };

  const inPrompt = (event) => event.target instanceof Element && event.target.closest("#prompt");
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dragging");
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (!inPrompt(event)) take(event.dataTransfer.files);
  }, true);
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData?.files ?? [];
    if (files.length > 0 && !inPrompt(event)) take(files);
  });
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest(".browse")) input()?.click();
  });
})();
