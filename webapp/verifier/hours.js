/* Hours and months in the legal time zone of a plant; moments are milliseconds. */

import { parseTime } from "./strict.js";

const [QUARTER, HOUR] = [900000, 3600000];
const SHAPE = { hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" };

/** The clock of a time zone, from 2000 to 2199. */
export class Zone {
  constructor(name) {
    this.format = new Intl.DateTimeFormat("en-US", { ...SHAPE, calendar: "gregory", numberingSystem: "latn", timeZone: name });
    this.offsets = new Map();
  }

  /** Milliseconds that local time is ahead of UTC; it changes at whole quarters of an hour at most. */
  offset(moment) {
    const quarter = Math.floor(moment / QUARTER);
    if (!this.offsets.has(quarter)) {
      const parts = Object.fromEntries(this.format.formatToParts(quarter * QUARTER).map(({ type, value }) => [type, Number(value)]));
      const local = Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second);
      this.offsets.set(quarter, local - quarter * QUARTER);
    }
    return this.offsets.get(quarter);
  }

  /** Start of the local hour that holds a moment. */
  hourOf(moment) {
    const offset = this.offset(moment);
    return Math.floor((moment + offset) / HOUR) * HOUR - offset;
  }

  /** The local month of a moment, YYYY-MM. */
  monthOf(moment) {
    return new Date(moment + this.offset(moment)).toISOString().slice(0, 7);
  }

  /** The hour an entry of a segment speaks of. */
  entryHour(entry, span) {
    return entry.hour === undefined ? this.hourOf(parseTime(span[0])) : parseTime(entry.hour);
  }
}
