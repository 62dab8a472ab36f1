/* Unpack the program of this page and run it. The policy above names the SHA-256 of both, so nothing else can run. */
(async () => {
  const signs = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;.=>?@^_`{|}~";
  try {
    // Base85: five signs are four bytes; a shorter group at the end is filled up with the last sign.
    const text = document.getElementById("packed").textContent;
    const groups = text.padEnd(Math.ceil(text.length / 5) * 5, "~").match(/.{5}/g);
    const view = new DataView(new ArrayBuffer(groups.length * 4));
    groups.forEach((group, at) => view.setUint32(at * 4, [...group].reduce((sum, sign) => sum * 85 + signs.indexOf(sign), 0)));
    const packed = new Blob([view]).slice(0, Math.floor(text.length * 0.8));
    const program = document.createElement("script");
    program.textContent = await new Response(packed.stream().pipeThrough(new DecompressionStream("deflate-raw"))).text();
    document.body.append(program);
  } catch {
    document.getElementById("too-old").hidden = false;
  }
})();
