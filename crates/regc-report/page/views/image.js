/** How many steps of a history a report holds at most. */
const STEPS = 256;

/** An image by a tag or by its digest. @param {Registry} registry @param {string} title @param {string} reference */
async function imageView(registry, title, reference) {
  const repository = registry.byName.get(title);
  const tag = repository === undefined ? -1 : registry.findTag(repository, reference);
  const whatever = `${title}${tag < 0 && reference.includes(':') ? '@' : ':'}${reference}`;
  if (repository === undefined) return missingView(whatever);
  const details = await registry.details();
  const image = tag < 0 ? details.find(repository, reference) : (registry.tags.image[tag] ?? -1);
  if (tag < 0 && image < 0) return missingView(whatever);
  const view = page(
    whatever,
    element('p', {}, 'In ', repositoryLink(registry, repository)),
    imageFacts(registry, details, tag, image),
  );
  if (image >= 0) view.root.append(...imageSections(registry, details, repository, image));
  else
    view.root.append(
      element('p', { class: 'cut' }, 'The platforms, layers and history of this image are not in this page.'),
    );
  view.root.append(imageRemoval(registry, details, repository, tag, image));
  return view;
}

/** @param {Registry} registry @param {Details} details @param {number} tag @param {number} image */
function imageFacts(registry, details, tag, image) {
  const entries = [];
  if (image >= 0) {
    entries.push(
      ['Digest', element('code', { class: 'name' }, details.digest(image))],
      ['Kind', registry.summary.kinds[details.images.kind[image]] ?? UNKNOWN],
      ['Bytes', bytes(details.images.bytes[image])],
    );
    if (details.images.platforms[image].length > 0) entries.push(['Platforms', named(details.platforms(image))]);
    entries.push(['Created', day(details.images.created[image])]);
  } else {
    entries.push(['Kind', registry.kindOfTag(tag)]);
  }
  if (tag >= 0) {
    const { tags } = registry;
    entries.push(
      ['Pushed', day(tags.pushed[tag])],
      ['Exclusive', bytes(tags.exclusive[tag])],
      ['Shared', bytes(registry.sharedOfTag(tag))],
      ['Pulled', bytes(tags.pulled[tag])],
    );
    const problem = registry.problemOfTag(tag);
    if (problem !== null) entries.push(['Problem', element('strong', { class: 'name' }, problem)]);
  }
  return facts(...entries);
}

/** @param {Registry} registry @param {number} repository @param {number} image */
function tagsOfImage(registry, repository, image) {
  return registry.tagsOf(repository).filter((tag) => registry.tags.image[tag] === image);
}

/** @param {Registry} registry @param {Details} details @param {number} repository @param {number} image */
function imageSections(registry, details, repository, image) {
  const sections = [];
  const tags = tagsOfImage(registry, repository, image);
  if (tags.length > 0) {
    const items = tags.map((tag) => element('li', {}, tagLink(registry, tag)));
    sections.push(section('Tags of this image', element('ul', { class: 'links' }, ...items)));
  }
  const related = [
    ['Indexes with this image', details.indexesWith(image)],
    ['Attached to', details.subjectsOf(image)],
    ['Platforms', details.images.children[image]],
    ['Signatures, SBOMs and other attached images', details.images.referrers[image]],
  ];
  for (const [title, images] of related) {
    if (images.length > 0) sections.push(section(title, imagesTable(registry, details, title, images)));
  }
  if (details.images.layers[image].length > 0) sections.push(section('Layers', layersTable(details, image)));
  const steps = details.images.history[image]?.length ?? 0;
  if (steps > 0) {
    const cut = element('p', { class: 'cut' }, `Only the first ${STEPS} steps are shown, if there are more.`);
    sections.push(section('History', historyTable(details, image), ...(steps < STEPS ? [] : [cut])));
  }
  return sections;
}

/** @param {Registry} registry @param {Details} details @param {string} caption @param {number[]} images */
function imagesTable(registry, details, caption, images) {
  const rows = images.map((image) => {
    const digest = details.digest(image);
    const of = registry.repositories.name[details.images.repository[image]];
    return [
      link(routeOfImage(of, digest), shortDigest(digest), { title: digest }),
      registry.summary.kinds[details.images.kind[image]] ?? UNKNOWN,
      named(details.platforms(image)),
      bytes(details.images.bytes[image]),
      day(details.images.created[image]),
    ];
  });
  return plainTable(caption, { Digest: 'text', Kind: 'text', Platform: 'text', Bytes: 'bytes', Created: 'date' }, rows);
}

/** @param {Details} details @param {number} image */
function layersTable(details, image) {
  const lines = new Map((details.images.history[image] ?? []).map(([text, layer]) => [layer, details.strings[text]]));
  const rows = details.images.layers[image].map((blob, layer) => [
    String(layer + 1),
    element('code', {}, shortDigest(details.blobDigest(blob))),
    bytes(details.blobs.bytes[blob]),
    whole(details.blobs.images[blob]),
    whole(details.blobs.repositories[blob]),
    historyLine(lines.get(layer) ?? ''),
  ]);
  return plainTable(
    'Layers',
    {
      'No.': 'number',
      Digest: 'text',
      Bytes: 'bytes',
      Images: 'number',
      Repositories: 'number',
      'Made by': 'text',
    },
    rows,
  );
}

/** @param {Details} details @param {number} image */
function historyTable(details, image) {
  const layers = details.images.layers[image];
  const rows = details.images.history[image].map(([text, layer, created]) => [
    layer === null ? '' : String(layer + 1),
    layer === null || layers[layer] === undefined ? '' : bytes(details.blobs.bytes[layers[layer]]),
    created === null ? '' : day(created),
    historyLine(details.strings[text]),
  ]);
  return plainTable('History', { Layer: 'number', Bytes: 'bytes', Created: 'date', Step: 'text' }, rows);
}

/** @param {string} text */
function historyLine(text) {
  return element('code', { class: 'line name' }, text);
}

/**
 * The commands that delete an image, or why there are none.
 * @param {Registry} registry @param {Details} details
 * @param {number} repository @param {number} tag @param {number} image
 */
function imageRemoval(registry, details, repository, tag, image) {
  const title = registry.repositories.name[repository];
  const { option } = registry.summary;
  const tags = image < 0 ? [] : tagsOfImage(registry, repository, image);
  if (tag >= 0) {
    const made = removalSection(removal(option, title, `:${registry.tags.name[tag]}`));
    const others = (registry.tags.tags_of_image[tag] ?? 1) - 1;
    if (others > 0)
      made.append(
        element(
          'p',
          {},
          `This deletes the tag. The image is kept: ${counted(others, 'other tag names', 'other tags name')} it.`,
        ),
      );
    return made;
  }
  if (details.indexesWith(image).length > 0) {
    return section(
      'Delete',
      element('p', {}, 'An index holds this image. It is deleted with the last index that holds it.'),
    );
  }
  if (tags.length === 0) return removalSection(removal(option, title, `@${details.digest(image)}`));
  const first = removal(option, title, `:${registry.tags.name[tags[0]]}`);
  const rest = tags.slice(1).map((other) => ` ${shellWord(registry.reference(other))}`);
  return removalSection(first === null ? null : first + rest.join(''));
}
