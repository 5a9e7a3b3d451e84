const LISTED = 200;

/** The way from the registry to an area. @param {Area} area @param {number} skipped */
function trailTo(area, skipped) {
  const steps = [];
  for (let step = area; step !== null; step = step.above) {
    const isLast = step === area && skipped === 0;
    const here = () => element('span', { class: 'name', 'aria-current': 'page' }, step.title);
    steps.unshift(isLast ? here() : link(step.route, step.title));
  }
  if (skipped > 0) {
    steps.push(element('span', { 'aria-current': 'page' }, counted(area.parts().length - skipped, 'other')));
  }
  if (area.kind === 'repository') steps.push(link(routeOfRepository(area.path), 'open the repository'));
  return element('ol', {}, ...steps.map((step) => element('li', {}, step)));
}

/** The parts of an area as a table. @param {Area} area @param {Area[]} parts @param {number} skipped */
function listOf(area, parts, skipped) {
  const rows = parts.slice(0, LISTED).map((part) => {
    const leads = part.kind === 'repository' ? routeOfRepository(part.path) : part.route;
    return [link(leads, titleOf(part)), bytes(part.exclusive), bytes(part.shared)];
  });
  if (parts.length > LISTED) {
    const rest = parts.slice(LISTED);
    const more = route('map', area.path, String(skipped + LISTED));
    rows.push([link(more, counted(rest.length, 'other')), bytes(sumOf(rest)), '']);
  }
  const columns = { Part: 'text', Exclusive: 'bytes', Shared: 'bytes' };
  return plainTable(`Parts of ${area.path || 'the registry'}`, columns, rows);
}

/** @param {Area} area */
function titleOf(area) {
  return area.kind === 'namespace' ? `${area.title}/` : area.title;
}

/** The exclusive bytes of parts. What they share cannot be added up: they may share the same. @param {Area[]} parts */
function sumOf(parts) {
  return parts.reduce((sum, part) => sum + part.exclusive, 0);
}
