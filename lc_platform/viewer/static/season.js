// The season of a year: its months, and the calendar year that each lies in.

import { MONTHS } from "./words.js";

let season = { month: 1, day: 1, months: 12 };

/** Take the season that the map's years have; /api/area says it. */
export function takeSeason(one) {
  season = one;
}

/** How many calendar months the season has days in. */
const touched = () => season.months + (season.day > 1 ? 1 : 0);

/** Return the months that the season has days in, "01" to "12", in its order. */
export const monthsOfSeason = () => Array.from({ length: Math.min(12, touched()) },
  (_, i) => String(((season.month - 1 + i) % 12) + 1).padStart(2, "0"));

/** Return a month of a year's season in words: "Oct 2016". */
export function monthIn(month, year) {
  const name = MONTHS[Number(month) - 1];
  const endsLater = season.month - 1 + touched() > 12;
  if (!endsLater || Number(month) < season.month) return `${name} ${year}`;
  const twice = touched() > 12 && Number(month) === season.month;
  return twice ? `${name} ${year - 1} and ${year}` : `${name} ${year - 1}`;
}

/** Return the months of every year in words, "Oct to Sep"; null of the calendar year. */
export function spanOfSeason() {
  if (season.month === 1 && touched() === 12) return null;
  return `${MONTHS[season.month - 1]} to ${MONTHS[(season.month + touched() - 2) % 12]}`;
}

/** Return the months of a year in words, "Oct 2022 to Sep 2023"; null of the calendar year. */
export function spanOf(year) {
  if (!spanOfSeason()) return null;
  const [first, last] = spanOfSeason().split(" to ");
  const before = season.month - 1 + touched() > 12;
  return before ? `${first} ${year - 1} to ${last} ${year}` : `${first} to ${last} ${year}`;
}

/** Return the month that is shown first: July, or the middle of a season without it. */
export function firstMonth() {
  const months = monthsOfSeason();
  return months.includes("07") ? "07" : months[Math.floor(months.length / 2)];
}
