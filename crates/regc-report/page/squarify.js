/** @typedef {{x: number, y: number, width: number, height: number}} Box */

/**
 * Divides a box into one for each value, as square as can be: each row is filled along the shorter side for as long as
 * that makes its boxes squarer (Bruls, Huizing and van Wijk, 2000).
 * @param {number[]} values above zero, the largest first @param {Box} box @returns {Box[]}
 */
function squarify(values, box) {
  const scale = (box.width * box.height) / values.reduce((sum, value) => sum + value, 0);
  const areas = values.map((value) => value * scale);
  const boxes = [];
  let { x, y, width, height } = box;
  for (let from = 0; from < areas.length;) {
    const side = Math.min(width, height);
    let to = from + 1;
    let sum = areas[from];
    while (
      to < areas.length &&
      worst(areas, from, to + 1, sum + areas[to], side) <= worst(areas, from, to, sum, side)
    ) {
      sum += areas[to];
      to += 1;
    }
    const isLast = to === areas.length;
    const depth = isLast ? Math.max(width, height) : sum / side;
    let along = 0;
    for (let index = from; index < to; index += 1) {
      const length = (areas[index] / sum) * side;
      boxes.push(
        width >= height
          ? { x, y: y + along, width: depth, height: length }
          : { x: x + along, y, width: length, height: depth },
      );
      along += length;
    }
    if (width >= height) {
      x += depth;
      width -= depth;
    } else {
      y += depth;
      height -= depth;
    }
    from = to;
  }
  return boxes;
}

/** The ratio of sides of the least square box in a row. The last may be larger than the others: it may be many. */
function worst(areas, from, to, sum, side) {
  const square = (sum / side) ** 2;
  const [first, last] = [areas[from], areas[to - 1]];
  return Math.max(Math.max(first, last) / square, square / Math.min(first, last));
}

/**
 * How many of the largest values get a box of their own, if none may be smaller than `smallest`, and which share the
 * others take together: their true one, but at most half, or nothing else would be seen where all are small.
 * @param {number[]} values the largest first @param {number} area @param {number} smallest
 */
function folded(values, area, smallest) {
  const sums = [0];
  for (const value of values) sums.push(sums.at(-1) + value);
  const all = sums.at(-1);
  for (let own = Math.min(values.length, Math.ceil(area / smallest)); own > 0; own -= 1) {
    const isAll = own === values.length;
    const share = isAll ? 0 : Math.min(0.5, (all - sums[own]) / all);
    if (values[own - 1] > 0 && (values[own - 1] / sums[own]) * area * (1 - share) >= smallest) {
      return { own, share, isToScale: isAll || (all - sums[own]) / all <= 0.5 };
    }
  }
  const own = values.length > 0 && values[0] > 0 ? 1 : 0;
  return { own, share: values.length > own ? 0.5 : 0, isToScale: false };
}
