// Draws the diagrams of a page that has some. The library is large, so other pages do not load it.
(() => {
  const blocks = document.querySelectorAll("code.language-mermaid");
  if (!blocks.length) return;
  const script = document.createElement("script");
  script.src = `${path_to_root}mermaid.tiny.js`;
  script.onload = () => {
    for (const block of blocks) {
      const picture = document.createElement("pre");
      picture.className = "mermaid";
      picture.textContent = block.textContent;
      block.closest("pre").replaceWith(picture);
    }
    mermaid.initialize({ startOnLoad: false, theme: "default" });
    mermaid.run();
  };
  document.head.append(script);
})();
