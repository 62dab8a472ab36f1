/* The page: two files in, one answer out. Words are set as text, never as markup. */

import { hex, sha256 } from "../static/js/encoding.js";
import { judgeCase } from "./cases.js";
import { Source } from "./container.js";
import { PAGE_WORDS } from "./page_words.js";
import { STYLE } from "./style.js";
import { verifyBundle } from "./verify.js";
import { CHECK_WORDS, CODE_WORDS } from "./words.js";

const MARKS = { VALID: "✓", VALID_WITH_WARNINGS: "!", INDETERMINATE: "?", INVALID: "✕" };
const MOST_DETAILS = 50;
const HASHED_BYTES = 256 * 1024 ** 2;

const $ = (id) => document.getElementById(id);
const chosen = { bundle: null, trust: null };
let language = 0;
let shown = null;
let runs = 0;

const said = (words) => words?.[language] ?? "";
const word = (name) => said(PAGE_WORDS[name]) || name;

function element(tag, text = "", options = {}) {
  const made = Object.assign(document.createElement(tag), options);
  made.textContent = text;
  return made;
}

function speak(to) {
  language = to;
  document.documentElement.lang = ["zh-CN", "en"][language];
  document.title = word("title");
  for (const part of document.querySelectorAll("[data-word]")) part.textContent = word(part.dataset.word);
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.language) === language));
  }
  if (shown) show(shown);
}

/** Take files that were chosen or dropped; which is which is told by the name. */
function take(files) {
  for (const file of files) {
    const kind = file.name.toLowerCase().endsWith(".json") ? "trust" : "bundle";
    chosen[kind] = file;
    $(`${kind}-name`).textContent = file.name;
  }
  shown = null;
  runs += 1;
  $("report").replaceChildren();
  tell("");
}

/** Say something below the files; what the report says again is for those who listen only. */
function tell(text, isSeen = true) {
  $("status").textContent = text;
  $("status").classList.toggle("unseen", !isSeen);
}

function row(list, name, text) {
  if (text) list.append(element("dt", word(name)), element("dd", text));
}

function subjectOf({ subject, trust, file, at, digest }) {
  const list = element("dl");
  for (const name of ["plant", "period", "rev"]) row(list, name, subject[name]);
  for (const level of ["city", "province", "nation"]) row(list, level, subject[level] && word(subject[level]));
  row(list, "month", subject.month);
  row(list, "bundle", file);
  row(list, "digest", digest);
  row(list, "trust-as-of", trust && `${trust.issued} · ${word("log-size")} ${trust.log_size} · ${word("unproven")}`);
  row(list, "checked-at", at);
  return list;
}

function findingsOf(findings) {
  const groups = new Map();
  for (const finding of findings) {
    const key = `${finding.grade} ${finding.code}`;
    groups.set(key, [...(groups.get(key) ?? []), finding]);
  }
  const list = element("ul", "", { className: "findings" });
  for (const group of groups.values()) {
    const [{ grade, code }] = group;
    const item = element("li", "", { className: grade });
    const head = element("p");
    head.append(element("strong", said(CODE_WORDS[code])), " ", element("code", code), ` · ${word(grade)}`);
    if (group.length > 1) head.append(` · ${group.length} ${word("times")}`);
    const details = element("details");
    details.append(element("summary", word("detail")));
    const lines = element("ul");
    for (const { detail, sid } of group.slice(0, MOST_DETAILS)) lines.append(element("li", sid ? `${detail} [${sid}]` : detail, { lang: "en" }));
    if (group.length > MOST_DETAILS) lines.append(element("li", `${word("more")} ${group.length - MOST_DETAILS}`));
    details.append(lines);
    item.append(head, details);
    list.append(item);
  }
  return groups.size ? list : element("p", word("no-findings"));
}

function checksOf(checks) {
  const table = element("table");
  const head = table.createTHead().insertRow();
  for (const name of ["name", "passed", "failed"]) head.append(element("th", word(name), { scope: "col" }));
  const body = table.createTBody();
  for (const { name, passed, failed } of checks) {
    const line = body.insertRow();
    line.append(element("th", said(CHECK_WORDS[name]), { scope: "row" }), element("td", String(passed)), element("td", String(failed)));
    if (failed) line.className = "failed";
  }
  return table;
}

/** Show a report; the answer comes first. */
function show(report) {
  const { verdict, unable } = report;
  const answer = element("section", "", { className: `answer ${verdict}` });
  const heading = element("h2", "", { id: "answer", tabIndex: -1 });
  heading.append(element("span", MARKS[verdict], { className: "mark", ariaHidden: "true" }), word(verdict));
  answer.append(heading, element("p", unable ? word(unable.reason) : word(`${verdict}-means`)));
  if (unable) answer.append(element("p", unable.detail, { lang: "en", className: "soft" }));
  const part = (name, content) => {
    const section = element("section");
    section.append(element("h2", word(name)), content);
    return section;
  };
  const parts = [answer, part("subject", subjectOf(report))];
  if (!unable) parts.push(part("findings", findingsOf(report.findings)));
  if (report.checks.length) parts.push(part("checks", checksOf(report.checks)));
  $("report").replaceChildren(...parts);
  tell(`${word(verdict)} ${word(unable ? unable.reason : `${verdict}-means`)}`, false);
}

function progress(run) {
  let last = 0;
  return (what, done, all) => {
    const now = performance.now();
    if (run !== runs || now - last < 500) return;
    last = now;
    tell(`${word("busy")} ${word(`busy-${what}`)} ${done} / ${all}`);
  };
}

async function check() {
  const missing = ["bundle", "trust"].filter((kind) => !chosen[kind]);
  if (missing.length) {
    tell(word("choose") + missing.map(word).join(language ? ", " : "、"));
    $(missing[0]).focus();
    return;
  }
  runs += 1;
  const run = runs;
  const { bundle, trust } = chosen;
  tell(word("busy"));
  $("check").disabled = true;
  const now = new Date();
  try {
    const data = await trust.arrayBuffer().catch(() => new ArrayBuffer(0));
    const report = await verifyBundle(new Source(bundle), new Uint8Array(data), now.getTime(), progress(run));
    const digest = bundle.size < HASHED_BYTES ? await bundle.arrayBuffer().then(sha256).then(hex).catch(() => null) : null;
    if (run !== runs) return;
    shown = { ...report, file: bundle.name, at: now.toISOString(), digest };
    show(shown);
    $("answer").focus();
  } finally {
    $("check").disabled = false;
  }
}

for (const kind of ["bundle", "trust"]) {
  $(kind).addEventListener("change", ({ target }) => take(target.files));
}
$("check").addEventListener("click", check);
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => speak(Number(button.dataset.language)));
}
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("files").classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) {
      take(event.dataTransfer.files);
      if (chosen.bundle && chosen.trust) check();
    }
  });
}
document.head.append(element("style", STYLE));
speak(navigator.language.toLowerCase().startsWith("zh") ? 0 : 1);
$("ready").hidden = false;

/** For the conformance corpus: judge files given as bytes by name. */
globalThis.cunzhengVerifier = { judgeCase };
