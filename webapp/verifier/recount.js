/* A segment that is disclosed whole: its entries are computed again from its readings. */

import { compared, decimal, decimalText, isLess, minus, plus, times, whole } from "./decimal.js";
import { FLAGS } from "./reading.js";
import { grouped } from "./strict.js";

const HOUR = whole(3600000);
const MARGIN = decimal("1.2");
const ZERO = decimal("0");
const [FIRST_YEAR, LAST_YEAR] = [Date.UTC(2000), Date.UTC(2200)];
const has = (value, name) => value[name] !== undefined;

/** Return the channels as their gateway had declared them when it signed a segment. */
export function channelsBefore(segment, events) {
  const declared = new Map();
  for (const { type, gw, epoch, seq, data } of events) {
    if (type !== "config" || gw !== segment.gw || epoch !== segment.epoch || seq >= segment.seq) continue;
    if (seq > (declared.get(data.channel)?.seq ?? 0)) declared.set(data.channel, { ...data, seq });
  }
  return declared;
}

/** Classify the step from one total to the next; return what can be booked (null: nothing) and what comes next. */
function judgedStep(old, value, elapsed, rule) {
  // Everything times one hour: a division would round.
  const counted = times(times(decimal(rule.max_rate), whole(elapsed)), MARGIN);
  const most = plus(counted, times(decimal(rule.step ?? "1"), HOUR));
  const isWithin = (amount, limit) => amount.n >= 0n && compared(times(amount, HOUR), limit) <= 0;
  const difference = minus(value, old);
  if (isWithin(difference, most)) return difference;
  if (difference.n >= 0n) return null;
  const round = has(rule, "modulus") ? plus(difference, decimal(rule.modulus)) : null;
  if (round && isWithin(round, most)) return round;
  return rule.resettable && isWithin(value, counted) ? value : null;
}

/** Use of a total after its first valid reading. */
function laterUse(leaves, rule) {
  let [base, use] = [leaves[0], ZERO];
  for (const leaf of leaves.slice(1)) {
    if (leaf.time <= base.time) continue;
    use = plus(use, judgedStep(base.value, leaf.value, leaf.time - base.time, rule) ?? ZERO);
    base = leaf;
  }
  return use;
}

/** What the first difference may be, as it is not known here how long ago the total was read before. */
function firstSteps(old, value, rule) {
  const difference = minus(value, old);
  if (difference.n >= 0n) return [difference, ZERO];
  const round = has(rule, "modulus") ? [plus(difference, decimal(rule.modulus))] : [];
  return [ZERO, ...round, ...(rule.resettable ? [value] : [])];
}

function isTotal(entry, valid, rule) {
  const figures = ["sum", "min", "max", "first", "last", "use"].filter((name) => has(entry, name));
  // Readings that came late, after a newer one, are counted but book nothing.
  if (!has(entry, "first") || !valid.length) return !figures.length;
  if (compared(decimal(entry.last), valid.at(-1).value)) return false;
  const rest = laterUse(valid, rule);
  const use = decimal(entry.use);
  return firstSteps(decimal(entry.first), valid[0].value, rule).some((step) => !compared(use, plus(rest, step)));
}

function sums(valid) {
  if (!valid.length) return {};
  const values = valid.map(({ value }) => value);
  const chosen = (isBetter) => values.reduce((best, value) => (isBetter(value, best) ? value : best));
  const figures = {
    sum: values.reduce((total, value) => plus(total, value)),
    min: chosen(isLess),
    max: chosen((value, best) => isLess(best, value)),
  };
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, decimalText(value)]));
}

/** The letter of one minute: N where it is valid, else the flag that most of its readings have, D in place of N. */
function minuteLetter(group, expected, { samples, share }) {
  const valid = group.filter(({ isValid }) => isValid).length;
  const isEnough = (limit) => compared(whole(valid), limit) >= 0;
  if (isEnough(decimal(samples)) || (valid && isEnough(times(decimal(share), whole(expected))))) return "N";
  const counts = FLAGS.map((flag) => group.filter((leaf) => leaf.flag === flag).length);
  const most = FLAGS[counts.indexOf(Math.max(...counts))];
  return most === "N" ? "D" : most;
}

function minutesOf(leaves, channel) {
  if (!has(channel, "stack") || !["value", "derived"].includes(channel.kind) || channel.poll_ms > 60000) return undefined;
  const expected = Math.floor(60000 / channel.poll_ms);
  const groups = Array.from({ length: 60 }, () => []);
  for (const leaf of leaves) groups[new Date(leaf.time).getUTCMinutes()].push(leaf);
  return groups.map((group) => (group.length ? minuteLetter(group, expected, channel.stack) : "-")).join("");
}

/** Tell whether an entry says what its own leaves say. */
function agrees(entry, leaves, channel) {
  const valid = leaves.filter(({ isValid }) => isValid);
  if (entry.n !== leaves.length || entry.valid !== valid.length || entry.minutes !== minutesOf(leaves, channel)) return false;
  if (channel.kind === "total") return isTotal(entry, valid, channel.totaliser);
  const wanted = channel.kind === "state" ? {} : sums(valid);
  return ["sum", "min", "max", "first", "last", "use"].every((name) => entry[name] === wanted[name]);
}

/** Return the details of what does not follow from the readings of a segment, which are all here, in leaf order. */
export function recounted(segment, leaves, channels, zone) {
  const stranger = leaves.find(({ channel }) => !channels.has(channel));
  if (stranger) return [`channel ${stranger.channel} was not declared before its reading`];
  const lost = leaves.find(({ time }) => time < FIRST_YEAR || time >= LAST_YEAR);
  if (lost) return [`reading ${lost.index} lies in no hour of the calendar`];
  const hourOf = ({ channel, time }) => zone.hourOf(channels.get(channel).kind === "total" ? time - 1 : time);
  const groups = grouped(leaves, (leaf) => `${new Date(hourOf(leaf)).toISOString()} ${leaf.channel}`);
  const entries = new Map(segment.ch.map((entry) => [`${new Date(zone.entryHour(entry, segment.span)).toISOString()} ${entry.id}`, entry]));
  return [...new Set([...groups.keys(), ...entries.keys()])]
    .sort()
    .filter((key) => !groups.has(key) || !entries.has(key) || !agrees(entries.get(key), groups.get(key), channels.get(entries.get(key).id)))
    .map((key) => `${key} is not what its readings say`);
}
