const WEEKS = 26;
const BAR_HEIGHT = 20;

/**
 * The bytes of each of the last weeks, the oldest first.
 * @param {[week: number, bytes: number][]} growth @param {number} made
 */
function bytesOfWeeks(growth, made) {
  const first = weekOf(made) - WEEKS + 1;
  const weeks = new Array(WEEKS).fill(0);
  for (const [week, pushed] of growth) {
    if (week >= first && week < first + WEEKS) weeks[week - first] += pushed;
  }
  return weeks;
}

/** Small bars, one a week. @param {[week: number, bytes: number][]} growth @param {number} made */
function growthBars(growth, made) {
  const weeks = bytesOfWeeks(growth, made);
  const highest = Math.max(...weeks);
  const best = weeks.indexOf(highest);
  const monday = mondayOf(weekOf(made) - WEEKS + 1 + best);
  const text =
    highest === 0
      ? `Nothing new in ${WEEKS} weeks`
      : `New bytes in each of the last ${WEEKS} weeks: at most ${bytes(highest)}, in the week of ${monday}`;
  const bars = weeks.map((pushed, week) => {
    const height = pushed === 0 ? 0 : Math.max(1, (BAR_HEIGHT * pushed) / highest);
    return `M${week * 5} ${BAR_HEIGHT}v-${height.toFixed(1)}h4v${height.toFixed(1)}z`;
  });
  const ground = drawing('rect', { x: 0, y: BAR_HEIGHT, width: WEEKS * 5 - 1, height: 1 });
  return drawing(
    'svg',
    { class: 'bars', role: 'img', 'aria-label': text, viewBox: `0 0 ${WEEKS * 5 - 1} ${BAR_HEIGHT + 1}` },
    drawing('title', {}, text),
    drawing('path', { d: bars.join('') }),
    ground,
  );
}
