// Numbers and dates as people read them.

export const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Return a day in UTC: "11 Jul 2023". */
export function day(time) {
  const date = new Date(time);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
}

/** Return a number with a few digits; "–" where there is none. */
export function number(value, digits = 2) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return value.toLocaleString("en-GB", { maximumFractionDigits: digits });
}

/** Return a share of 100: "12.3 %". */
export const percent = (value, digits = 0) =>
  value === null || value === undefined ? "–" : `${number(value, digits)} %`;

/** Return a share of 1 likewise. */
export const share = (value, digits = 0) =>
  percent(value === null || value === undefined ? null : 100 * value, digits);

/** Return an area in hectares, or in square kilometres where it is large. */
export function area(hectares) {
  if (hectares === null || hectares === undefined) return "–";
  if (hectares >= 10000) return `${number(hectares / 100, 0)} km²`;
  return `${number(hectares, hectares < 10 ? 2 : hectares < 1000 ? 1 : 0)} ha`;
}

/** Return a place: "46.05123° N, 14.50611° E". */
export function place(longitude, latitude) {
  const of = (value, positive, negative) =>
    `${Math.abs(value).toFixed(5)}° ${value < 0 ? negative : positive}`;
  return `${of(latitude, "N", "S")}, ${of(longitude, "E", "W")}`;
}

/** Return "1 patch" or "3 patches". */
export const count = (n, one, many = `${one}s`) => `${number(n, 0)} ${n === 1 ? one : many}`;
