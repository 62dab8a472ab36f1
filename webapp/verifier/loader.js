/* Unpack the program of this page and run it. The policy above names the SHA-256 of both, so nothing else can run. */
(async () => {
  try {
    const packed = Uint8Array.from(atob(document.getElementById("packed").textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const program = document.createElement("script");
    program.id = "verifier";
    program.textContent = await new Response(stream).text();
    document.body.append(program);
  } catch {
    document.getElementById("too-old").hidden = false;
  }
})();
