/** A view that is a table. @param {string} title @param {(Node | null)[]} content */
function page(title, ...content) {
  return { title, root: element('div', {}, element('h1', { tabindex: -1 }, title), ...content) };
}

/** @param {Registry} registry */
function repositoriesView(registry) {
  const { repositories, summary } = registry;
  const field = (title) => ({ title, kind: 'bytes', value: (row) => repositories[title.toLowerCase()][row] });
  const grown = (row) =>
    element(
      'span',
      { class: 'grown' },
      growthBars(repositories.growth[row], summary.made),
      element('span', {}, bytes(registry.bytesPerWeek(row))),
    );
  const table = new DataTable({
    caption: 'Repositories',
    file: 'repositories.csv',
    rows: repositories.name.length,
    text: (row) => repositories.name[row],
    sort: { column: 1, descending: true },
    columns: [
      {
        title: 'Repository',
        kind: 'text',
        value: (row) => repositories.name[row],
        cell: (row) => repositoryLink(registry, row),
      },
      ...['Exclusive', 'Shared', 'Pulled', 'Untagged', 'Garbage'].map(field),
      { title: 'Tags', kind: 'number', value: (row) => repositories.tags[row] },
      { title: 'Last push', kind: 'date', value: (row) => registry.lastPush(row) },
      { title: 'New per week', kind: 'bytes', value: (row) => registry.bytesPerWeek(row), cell: grown },
    ],
  });
  return page('Repositories', table.root);
}

/**
 * The choice between the values that occur.
 * @param {string} title @param {string[]} values @param {(row: number) => string} valueOf
 */
function choiceOf(title, values, valueOf) {
  const keeping = (value) => ({ title: value, keeps: (row) => valueOf(row) === value });
  return { title, options: [...new Set(values)].sort().map(keeping) };
}

/** @param {Registry} registry @param {number[]} rows */
function tagsTable(registry, rows, caption, file, hasRepository) {
  const { tags } = registry;
  const repository = {
    title: 'Repository',
    kind: 'text',
    value: (row) => registry.repositoryOfTag(row),
    cell: (row) => repositoryLink(registry, tags.repository[row]),
  };
  const hasProblem = (row) => tags.problem[row] !== null;
  const problems = {
    title: 'Problem',
    options: [{ title: 'with a problem', keeps: hasProblem }],
  };
  return new DataTable({
    caption,
    file,
    rows,
    text: (row) => registry.reference(row),
    choices: [
      choiceOf(
        'Kind',
        rows.map((row) => registry.kindOfTag(row)),
        (row) => registry.kindOfTag(row),
      ),
      problems,
    ],
    columns: [
      ...(hasRepository ? [repository] : []),
      {
        title: 'Tag',
        kind: 'text',
        value: (row) => tags.name[row],
        cell: (row) => link(routeOfImage(registry.repositoryOfTag(row), tags.name[row]), tags.name[row]),
      },
      { title: 'Kind', kind: 'text', value: (row) => registry.kindOfTag(row) },
      { title: 'Exclusive', kind: 'bytes', value: (row) => tags.exclusive[row] },
      { title: 'Shared', kind: 'bytes', value: (row) => registry.sharedOfTag(row) },
      { title: 'Pulled', kind: 'bytes', value: (row) => tags.pulled[row] },
      { title: 'Pushed', kind: 'date', value: (row) => tags.pushed[row] },
      { title: 'Created', kind: 'date', value: (row) => tags.created[row] },
      { title: 'Tags of the image', kind: 'number', value: (row) => tags.tags_of_image[row] },
      {
        title: 'Problem',
        kind: 'text',
        value: (row) => registry.problemOfTag(row),
        cell: (row) => registry.problemOfTag(row) ?? '',
      },
    ],
  });
}

/** @param {Registry} registry */
function tagsView(registry) {
  const rows = registry.tags.name.map((_, tag) => tag);
  return page('Tags', tagsTable(registry, rows, 'Tags', 'tags.csv', true).root);
}

/** @param {Registry} registry @param {Details} details @param {number[]} rows */
function untaggedTable(registry, details, rows, caption, file, hasRepository = true) {
  const { untagged, repositories } = registry;
  const digest = (row) => (untagged.image[row] === null ? null : details.digest(untagged.image[row]));
  const repository = (row) => repositories.name[untagged.repository[row]];
  const reference = (row) =>
    digest(row) === null
      ? UNKNOWN
      : link(routeOfImage(repository(row), digest(row)), shortDigest(digest(row)), { title: digest(row) });
  const ofRepository = {
    title: 'Repository',
    kind: 'text',
    value: repository,
    cell: (row) => repositoryLink(registry, untagged.repository[row]),
  };
  const kind = (row) =>
    untagged.image[row] === null ? null : registry.summary.kinds[details.images.kind[untagged.image[row]]];
  return new DataTable({
    caption,
    file,
    rows,
    text: (row) => `${repository(row)}@${digest(row) ?? ''}`,
    sort: { column: hasRepository ? 3 : 2, descending: true },
    columns: [
      ...(hasRepository ? [ofRepository] : []),
      { title: 'Digest', kind: 'text', value: digest, cell: reference },
      { title: 'Kind', kind: 'text', value: kind },
      { title: 'Bytes', kind: 'bytes', value: (row) => untagged.bytes[row] },
      { title: 'Pushed', kind: 'date', value: (row) => untagged.pushed[row] },
    ],
  });
}

/** @param {Registry} registry */
async function untaggedView(registry) {
  const rows = registry.untagged.repository.map((_, row) => row);
  const table = untaggedTable(registry, await registry.details(), rows, 'Untagged manifests', 'untagged.csv');
  return page(
    'Untagged manifests',
    element('p', {}, 'No tag reaches these manifests: regc gc -m deletes them.'),
    table.root,
  );
}

/** @param {Registry} registry */
function layersView(registry) {
  const { layers } = registry.summary;
  const table = new DataTable({
    caption: 'Layers',
    file: 'layers.csv',
    rows: layers.digest.length,
    text: (row) => `${layers.digest[row]} ${layers.first[row] ?? ''}`,
    sort: { column: 4, descending: true },
    columns: [
      {
        title: 'Digest',
        kind: 'text',
        value: (row) => layers.digest[row],
        cell: (row) => element('code', { title: layers.digest[row] }, shortDigest(layers.digest[row])),
      },
      { title: 'Bytes', kind: 'bytes', value: (row) => layers.bytes[row] },
      { title: 'Images', kind: 'number', value: (row) => layers.images[row] },
      { title: 'Repositories', kind: 'number', value: (row) => layers.repositories[row] },
      { title: 'Saves', kind: 'bytes', value: (row) => saved(registry, row) },
      {
        title: 'One of the images',
        kind: 'text',
        value: (row) => layers.first[row],
        cell: (row) => (layers.first[row] === null ? UNKNOWN : referenceLink(registry, layers.first[row])),
      },
    ],
  });
  const note =
    'The layers that save most because images share them: the size of a layer, times the number of its images minus one.';
  return page('Layers', element('p', {}, note), table.root);
}

/** A link to what `repository:tag` or `repository@digest` names, if the page has it. @param {string} reference */
function referenceLink(registry, reference) {
  const at = reference.search(/@[a-z0-9]+:[0-9a-f]+$/);
  const split = at < 0 ? reference.lastIndexOf(':') : at;
  const repository = reference.slice(0, split);
  return registry.byName.has(repository)
    ? link(routeOfImage(repository, reference.slice(split + 1)), reference)
    : named(reference);
}

/** @param {Registry} registry @param {number[]} rows */
function uploadsTable(registry, rows, caption, file, hasRepository = true) {
  const { uploads } = registry.summary;
  const ofRepository = {
    title: 'Repository',
    kind: 'text',
    value: (row) => uploads.repository[row],
    cell: (row) => nameOfRepository(registry, uploads.repository[row]),
  };
  return new DataTable({
    caption,
    file,
    rows,
    text: (row) => `${uploads.repository[row]} ${uploads.upload[row]}`,
    sort: { column: hasRepository ? 2 : 1, descending: true },
    columns: [
      ...(hasRepository ? [ofRepository] : []),
      { title: 'Upload', kind: 'text', value: (row) => uploads.upload[row] },
      { title: 'Bytes', kind: 'bytes', value: (row) => uploads.bytes[row] },
      { title: 'Started', kind: 'date', value: (row) => uploads.started[row] },
    ],
  });
}

/** A link to a repository, if the page has it. @param {Registry} registry @param {string} repository */
function nameOfRepository(registry, repository) {
  return registry.byName.has(repository) ? link(routeOfRepository(repository), repository) : named(repository);
}

/** @param {Registry} registry */
function uploadsView(registry) {
  const rows = registry.summary.uploads.upload.map((_, row) => row);
  return page(
    'Uploads',
    element('p', {}, 'Unfinished uploads. regc gc --purge-uploads deletes them once they are old enough.'),
    uploadsTable(registry, rows, 'Uploads', 'uploads.csv').root,
  );
}
