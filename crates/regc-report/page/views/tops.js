const TOP = 10;

/** The rows with the highest values. @param {number} count @param {(row: number) => number | null} value */
function highest(count, value) {
  const best = [];
  for (let row = 0; row < count; row += 1) {
    const found = value(row);
    if (found === null || (best.length === TOP && found <= best[TOP - 1].found)) continue;
    const at = best.findIndex((other) => other.found < found);
    best.splice(at < 0 ? best.length : at, 0, { row, found });
    best.length = Math.min(best.length, TOP);
  }
  return best.map(({ row }) => row);
}

/** @param {Registry} registry @param {number} repository */
function repositoryLink(registry, repository) {
  const title = registry.repositories.name[repository];
  return link(routeOfRepository(title), title);
}

/** @param {Registry} registry @param {number} tag */
function tagLink(registry, tag) {
  return link(routeOfImage(registry.repositoryOfTag(tag), registry.tags.name[tag]), registry.reference(tag));
}

/** A list of the first few, and the way to all. */
function topList(title, columns, rows, leads) {
  if (rows.length === 0) return null;
  return element(
    'section',
    { class: 'top' },
    element('h3', {}, title),
    plainTable(title, columns, rows),
    element('p', {}, link(leads, `All ${leads.slice(2)}`)),
  );
}

/** The largest, the oldest, and those that grow fastest. @param {Registry} registry */
function topsSection(registry) {
  const { repositories, tags, summary } = registry;
  const oldest = highest(tags.name.length, (tag) => (tags.pushed[tag] === null ? null : -tags.pushed[tag]));
  const silent = highest(repositories.name.length, (repository) => {
    const last = registry.lastPush(repository);
    return last === null ? null : -last;
  });
  const growing = highest(repositories.name.length, (repository) => registry.bytesPerWeek(repository) || null);
  const since = (seconds) =>
    element(
      'span',
      { class: 'since' },
      element('span', { class: 'date' }, day(seconds)),
      ' ',
      element('small', {}, age(seconds, summary.made)),
    );
  const lists = [
    topList(
      'Largest repositories',
      { Repository: 'text', Exclusive: 'bytes', Shared: 'bytes' },
      highest(repositories.name.length, (row) => repositories.exclusive[row]).map((row) => [
        repositoryLink(registry, row),
        bytes(repositories.exclusive[row]),
        bytes(repositories.shared[row]),
      ]),
      route('repositories'),
    ),
    topList(
      'Fastest growing',
      { Repository: 'text', '26 weeks': 'text', 'New per week': 'bytes' },
      growing.map((row) => [
        repositoryLink(registry, row),
        growthBars(repositories.growth[row], summary.made),
        bytes(registry.bytesPerWeek(row)),
      ]),
      route('repositories'),
    ),
    topList(
      'Largest tags',
      { Tag: 'text', Exclusive: 'bytes', Shared: 'bytes' },
      highest(tags.name.length, (row) => tags.exclusive[row]).map((row) => [
        tagLink(registry, row),
        bytes(tags.exclusive[row]),
        bytes(registry.sharedOfTag(row)),
      ]),
      route('tags'),
    ),
    topList(
      'Oldest tags',
      { Tag: 'text', Pushed: 'date', Exclusive: 'bytes' },
      oldest.map((row) => [tagLink(registry, row), since(tags.pushed[row]), bytes(tags.exclusive[row])]),
      route('tags'),
    ),
    topList(
      'Longest without a push',
      { Repository: 'text', 'Last push': 'date', Exclusive: 'bytes' },
      silent.map((row) => [
        repositoryLink(registry, row),
        since(registry.lastPush(row)),
        bytes(repositories.exclusive[row]),
      ]),
      route('repositories'),
    ),
    topList(
      'Base layers that save most',
      { Layer: 'text', Bytes: 'bytes', Images: 'number', Saves: 'bytes' },
      highest(summary.layers.digest.length, (row) => saved(registry, row)).map((row) => [
        element('code', { title: summary.layers.digest[row] }, shortDigest(summary.layers.digest[row])),
        bytes(summary.layers.bytes[row]),
        whole(summary.layers.images[row]),
        bytes(saved(registry, row)),
      ]),
      route('layers'),
    ),
  ];
  return section('Largest, oldest, fastest growing', element('div', { class: 'tops' }, ...lists));
}

/** What it saves that images share a layer. @param {Registry} registry @param {number} layer */
function saved(registry, layer) {
  const { bytes: sizes, images } = registry.summary.layers;
  return sizes[layer] * Math.max(0, images[layer] - 1);
}
