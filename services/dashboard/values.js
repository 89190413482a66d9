// How values are written for people. Pure: it knows neither page nor connection.

/** How long something takes, in the largest unit that says enough. */
export function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** How long something has lasted, in whole seconds at the least, so that it does not flicker. */
export function age(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return seconds < 10 ? `${seconds} s` : duration(seconds * 1000);
}

/** A size, in powers of 1000. */
export function size(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.round(bytes / 1e3)} kB`;
}

/** A share from 0 to 1. Only what is whole is shown as 100 %. */
export function percent(share) {
  return `${share >= 1 ? 100 : Math.min(99, Math.floor(share * 100))} %`;
}

/** A number of things, such as `2 events`. */
export function many(count, one, more = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
}

/** A word of a protocol as people write it. */
export function words(word) {
  return String(word ?? "").toLowerCase().replaceAll("_", " ");
}

/** A value of whatever type in a line: text as it is, everything else as JSON. */
export function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}

/** A text that is cut where it is too long to be read at a glance. */
export function clip(text, lengthMax) {
  return text.length > lengthMax ? `${text.slice(0, lengthMax)}…` : text;
}

/** Milliseconds since 1970 of a time as the protocols write it; `null` of anything else. */
export function moment(text) {
  const at = typeof text === "string" ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? null : at;
}
