/* The chains of gateways as a whole: one statement a number, numbers that rise with the log, clocks that run forward.

   Every statement of a gateway counts here, whether a month covers it or not. */

import { fail } from "./failures.js";
import { byText, grouped, pairs, parseTime } from "./strict.js";

const [DRIFT_MS, BOOT_TOLERANCE_MS] = [60000, 600000];
const STEP_NEAR = 16;

/** Group what gateways signed, each chain in the order of its numbers. */
function chainsOf(signed) {
  const chains = grouped(signed.filter(({ payload }) => payload.seq !== undefined), ({ payload: { gw, epoch } }) => `${gw} ${epoch}`);
  for (const chain of chains.values()) chain.sort((one, other) => one.payload.seq - other.payload.seq || byText(one.sid, other.sid));
  return [...chains.values()];
}

const isForked = (chain) => new Set(chain.map(({ payload }) => payload.seq)).size < chain.length;

/** A gateway signed each number once, and the log took the numbers in their order. */
export async function checkNumbers(checking) {
  const { found, signed } = checking;
  for (const chain of chainsOf(signed)) {
    const taken = new Set();
    for (const { payload, sid } of chain) {
      await checking.examining("number", () => {
        if (taken.has(payload.seq)) fail("FORK", `two statements ${payload.seq} of ${payload.gw} epoch ${payload.epoch}`);
        taken.add(payload.seq);
      }, sid);
    }
    const logged = isForked(chain) ? [] : chain.filter(({ index }) => index !== null);
    for (const [before, after] of pairs(logged)) {
      const [old, { seq }] = [before.payload, after.payload];
      if (after.index < before.index) found.add("SEQ_REGRESSION", `statement ${seq} was logged before ${old.seq}`, after.sid);
    }
  }
  checkEpochs(signed, found);
}

/** An epoch begins in the log before any later one of its gateway does. */
function checkEpochs(signed, found) {
  const first = signed.filter(({ index, payload }) => index !== null && payload.seq === 1);
  const place = (one, other) => (one.index === other.index ? one.payload.epoch - other.payload.epoch || byText(one.sid, other.sid) : one.index < other.index ? -1 : 1);
  for (const gateway of new Set(first.map(({ payload }) => payload.gw))) {
    const begun = first.filter(({ payload }) => payload.gw === gateway).sort(place);
    for (const [before, after] of pairs(begun)) {
      const [old, { epoch }] = [before.payload, after.payload];
      if (epoch < old.epoch) found.add("SEQ_REGRESSION", `epoch ${epoch} of ${gateway} began after epoch ${old.epoch}`, after.sid);
    }
  }
}

/** No boot comes back after another, and no wall clock falls unless a clock-step event near by says so. */
export async function checkClocks(checking) {
  const add = (detail, sid) => checking.found.add("CLOCK_STEP_UNDECLARED", detail, sid);
  for (const chain of chainsOf(checking.signed)) {
    if (isForked(chain)) continue; // it has no one order to judge by
    const steps = chain.filter(({ kind, payload }) => kind === "event" && payload.type === "clock-step").map(({ payload }) => payload.seq);
    const ended = new Set();
    for (const [{ payload: old }, { payload, sid }] of pairs(chain)) {
      await checking.examining("clock", () => {
        const { boot } = payload.clk;
        if (boot !== old.clk.boot) ended.add(old.clk.boot);
        if (ended.delete(boot)) add(`boot ${boot} came back after another: two machines, or one restored`, sid);
        const fall = parseTime(old.t) - parseTime(payload.t);
        const isDeclared = steps.some((step) => Math.abs(step - payload.seq) <= STEP_NEAR);
        const most = boot === old.clk.boot ? DRIFT_MS : BOOT_TOLERANCE_MS;
        if (fall > most && !isDeclared) add(`the clock fell by ${fall} ms between statements ${old.seq} and ${payload.seq}`, sid);
      }, sid);
    }
  }
}
