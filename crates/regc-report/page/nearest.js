/** The tile that is next in a direction. */
function nearest(tiles, from, [right, down]) {
  const middle = ({ box }) => [box.x + box.width / 2, box.y + box.height / 2];
  const [x, y] = middle(from);
  let best = null;
  let least = Infinity;
  for (const tile of tiles) {
    const [otherX, otherY] = middle(tile);
    const ahead = (otherX - x) * right + (otherY - y) * down;
    const aside = Math.abs((otherX - x) * down) + Math.abs((otherY - y) * right);
    const distance = ahead + 2 * aside;
    if (ahead > 1 && distance < least) [best, least] = [tile, distance];
  }
  return best;
}
