/** @param {Registry} registry @param {string} title */
async function repositoryView(registry, title) {
  const repository = registry.byName.get(title);
  if (repository === undefined) return missingView(`Repository ${title}`);
  const { repositories, summary } = registry;
  const numbers = ['exclusive', 'shared', 'pulled', 'untagged', 'garbage'];
  const capital = (text) => text[0].toUpperCase() + text.slice(1);
  const entries = numbers.map((field) => [capital(field), bytes(repositories[field][repository])]);
  const tags = registry.tagsOf(repository);
  const where = element('p', {}, link(route('map', title), 'Show it on the map'));
  const view = page(
    title,
    where,
    facts(
      ...entries,
      ['Tags', whole(repositories.tags[repository])],
      ['Last push', day(registry.lastPush(repository))],
      ['New per week', bytes(registry.bytesPerWeek(repository))],
      ['26 weeks', growthBars(repositories.growth[repository], summary.made)],
    ),
  );
  if (tags.length > 0)
    view.root.append(section('Tags', tagsTable(registry, tags, `Tags of ${visible(title)}`, 'tags.csv', false).root));
  const untagged = registry.untaggedOf(repository);
  if (untagged.length > 0) {
    const table = untaggedTable(
      registry,
      await registry.details(),
      untagged,
      `Untagged manifests of ${visible(title)}`,
      'untagged.csv',
      false,
    );
    view.root.append(section('Untagged manifests', table.root));
  }
  view.root.append(
    ...sharingSection(registry, repository),
    ...besidesSections(registry, title),
    removalSection(removal(summary.option, title)),
  );
  return view;
}

/** @param {Registry} registry @param {number} repository */
function sharingSection(registry, repository) {
  const shared = registry.repositories.shared_with[repository];
  if (shared.length === 0) return [];
  const rows = shared.map(([other, size]) => [
    typeof other === 'number' ? repositoryLink(registry, other) : nameOfRepository(registry, other),
    bytes(size),
  ]);
  return [
    section(
      'Shares with',
      plainTable('Repositories that need the same blobs', { Repository: 'text', Shared: 'bytes' }, rows),
    ),
  ];
}

/** The findings and uploads of a repository. @param {Registry} registry @param {string} title */
function besidesSections(registry, title) {
  const { findings, uploads } = registry.summary;
  const rowsOf = (names) => names.map((of, row) => (of === title ? row : -1)).filter((row) => row >= 0);
  const found = rowsOf(findings.map((finding) => finding.repository));
  const open = rowsOf(uploads.repository);
  const sections = [];
  if (found.length > 0) {
    sections.push(
      section('Findings', findingsTable(registry, found, `Findings in ${visible(title)}`, 'findings.csv', false).root),
    );
  }
  if (open.length > 0)
    sections.push(
      section('Uploads', uploadsTable(registry, open, `Uploads to ${visible(title)}`, 'uploads.csv', false).root),
    );
  return sections;
}

/** @param {string} what */
function missingView(what) {
  return page(
    'Not in this page',
    element('p', {}, `${what} is not in this page.`),
    element('p', {}, link('#/', 'Back to the overview')),
  );
}
