const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
const UNKNOWN = 'unknown';
const WEEK = 7 * 86400;
/** Monday 1970-01-05, from which weeks are counted. */
const FIRST_MONDAY = 4 * 86400;
const WHOLE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** @param {number} value */
function whole(value) {
  return WHOLE.format(value);
}

/** @param {number | null} value */
function bytes(value) {
  if (value === null) return UNKNOWN;
  if (value < 1024) return `${value} B`;
  let unit = -1;
  // What would be printed as 1024.00 belongs to the next unit.
  while (value >= 1023.995 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(2)} ${UNITS[unit]}`;
}

/** @param {number} part @param {number} all */
function percent(part, all) {
  return all > 0 ? `${((100 * part) / all).toFixed(1)}%` : '0.0%';
}

/** @param {number | null} seconds */
function iso(seconds) {
  if (seconds === null) return null;
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? null : date.toISOString().replace('.000Z', 'Z');
}

/** @param {number | null} seconds */
function day(seconds) {
  const text = iso(seconds);
  return text === null ? UNKNOWN : text.slice(0, text.indexOf('T'));
}

/** @param {number} seconds */
function minute(seconds) {
  const text = iso(seconds);
  return text === null ? UNKNOWN : `${text.slice(0, text.lastIndexOf(':')).replace('T', ' ')} UTC`;
}

/** The week in which a time lies. @param {number} seconds */
function weekOf(seconds) {
  return Math.floor((seconds - FIRST_MONDAY) / WEEK);
}

/** The Monday with which a week begins. @param {number} week */
function mondayOf(week) {
  return day(week * WEEK + FIRST_MONDAY);
}

/** @param {number} from @param {number} to */
function age(from, to) {
  const days = Math.max(0, Math.floor((to - from) / 86400));
  if (days < 60) return counted(days, 'day');
  return days < 730 ? counted(Math.floor(days / 30.44), 'month') : counted(Math.floor(days / 365.25), 'year');
}
