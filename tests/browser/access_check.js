/* Evaluated in a page: a list of what a keyboard or screen-reader user would stumble over. */
() => {
  const wrong = [];
  const shown = (one) => one.checkVisibility({ visibilityProperty: true }) && one.getBoundingClientRect().width > 1;
  const name = (one) => (one.getAttribute('aria-label') || one.labels?.[0]?.textContent || one.textContent || one.title || '').trim()
    || (one.querySelector('img')?.alt ?? '');
  for (const one of document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary'))
    if (shown(one) && !name(one)) wrong.push(`no name: ${one.outerHTML.slice(0, 120)}`);
  for (const one of document.querySelectorAll('img')) if (!one.hasAttribute('alt')) wrong.push('image without alt');
  for (const one of document.querySelectorAll('table')) if (!one.caption) wrong.push('table without caption');
  for (const one of document.querySelectorAll('thead th')) if (!one.scope) wrong.push('th without scope');
  if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
  let level = 1;
  for (const one of document.querySelectorAll('h1, h2, h3, h4')) {
    const here = Number(one.tagName[1]);
    if (here > level + 1) wrong.push(`heading jumps: ${one.textContent.trim()}`);
    level = here;
  }
  for (const mark of ['header', 'main', 'footer']) if (!document.querySelector(mark)) wrong.push(`no ${mark}`);
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  if (new Set(ids).size !== ids.length) wrong.push('an id stands twice');
  for (const one of document.querySelectorAll('[aria-labelledby], [aria-describedby]'))
    for (const id of `${one.getAttribute('aria-labelledby') ?? ''} ${one.getAttribute('aria-describedby') ?? ''}`.trim().split(/\s+/))
      if (!document.getElementById(id)) wrong.push(`refers to nothing: ${id}`);
  for (const one of document.querySelectorAll('.button, .top a, .top button, input, select, .choice, summary'))
    if (shown(one) && one.closest('td') === null && one.type !== 'radio' && one.type !== 'checkbox' && one.type !== 'hidden'
        && one.getBoundingClientRect().height < 47.5) wrong.push(`small target: ${one.outerHTML.slice(0, 90)}`);
  const part = (text) => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; })
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const ground = (one) => { for (; one; one = one.parentElement) { const c = part(getComputedStyle(one).backgroundColor);
    if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !shown(one) || one.closest('svg, script, [disabled]')) continue;
    const [a, b] = [light(part(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) wrong.push(`contrast ${ratio.toFixed(1)}: ${texts.currentNode.textContent.trim().slice(0, 40)}`);
  }
  return wrong;
}
