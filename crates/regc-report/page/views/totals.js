/** Says plainly what the page leaves out. @param {Registry} registry */
function cutBanner(registry) {
  const { shown } = registry.summary;
  const cuts = [];
  const all = counted(shown.of_repositories, 'repository', 'repositories');
  if (shown.repositories < shown.of_repositories) {
    cuts.push(`This page shows the ${whole(shown.repositories)} largest of ${all}.`);
  }
  if (shown.tags < shown.of_tags) cuts.push(`It lists ${whole(shown.tags)} of ${counted(shown.of_tags, 'tag')}.`);
  if (cuts.length === 0) return null;
  return element('p', { class: 'cut', role: 'note' }, `${cuts.join(' ')} The totals are those of the whole registry.`);
}

/** @param {Registry} registry */
function totalsSection(registry) {
  const { totals } = registry.summary;
  const total = (term, value, note) => [
    term,
    element('span', {}, element('b', {}, bytes(value)), element('small', {}, note)),
  ];
  const free = totals.free === null ? null : totals.capacity;
  return section(
    'Totals',
    facts(
      total('In use', totals.live, 'needed by some repository'),
      total('Exclusive', totals.exclusive, 'needed by one repository only'),
      total('Shared', totals.shared, 'needed by several, counted once'),
      total('Untagged', totals.untagged, 'in use, but no tag reaches it'),
      total('Garbage', totals.garbage, 'needed by no repository'),
      total('Uploads', totals.uploads, counted(totals.upload_count, 'unfinished upload')),
      total('Trash', totals.trash, counted(totals.trash_runs, 'run')),
      total('Free disk', totals.free, free === null ? 'space left on the disk' : `of ${bytes(free)}`),
    ),
    stackedBar(totals),
  );
}

/** The parts of the store side by side. */
function stackedBar(totals) {
  const parts = [
    ['exclusive', totals.exclusive],
    ['shared', totals.shared],
    ['garbage', totals.garbage],
    ['other files', totals.other],
    ['uploads', totals.uploads],
    ['trash', totals.trash],
  ].filter(([, value]) => value > 0);
  const all = parts.reduce((sum, [, value]) => sum + value, 0);
  const bar = element('div', { class: 'stack', 'aria-hidden': 'true' });
  const legend = element('ul', { class: 'legend' });
  for (const [title, value] of parts) {
    const kind = title.split(' ')[0];
    const part = element('span', { class: `part ${kind}` });
    part.style.flexGrow = String(value / all);
    bar.append(part);
    legend.append(
      element(
        'li',
        {},
        element('span', { class: `sample part ${kind}`, 'aria-hidden': 'true' }),
        `${title} ${percent(value, all)}`,
      ),
    );
  }
  return element('div', {}, bar, legend);
}

/** What each command would free, side by side. @param {Registry} registry */
function reclaimableSection(registry) {
  const runs = registry.summary.would_free;
  const most = Math.max(1, ...runs.map((run) => run.bytes ?? 0));
  const rows = runs.map((run) => {
    const bar = element('span', { class: 'measure', 'aria-hidden': 'true' });
    bar.style.width = `${(100 * (run.bytes ?? 0)) / most}%`;
    const counts = ['tags', 'manifests', 'blobs', 'uploads'].map((field) =>
      run.refused === null ? whole(run[field] ?? 0) : '',
    );
    const frees =
      run.refused === null ? bytes(run.bytes) : element('span', { class: 'refused' }, `refused: ${run.refused}`);
    return [named(run.name), element('div', { class: 'freed' }, frees, bar), ...counts, commandLine(run.command)];
  });
  const counts = { Tags: 'number', Manifests: 'number', Blobs: 'number', Uploads: 'number' };
  return section(
    'Reclaimable',
    element('p', {}, 'What each command would free if it ran now. Each has --dry-run, which deletes nothing.'),
    plainTable('What each command would free', { Command: 'text', Frees: 'bytes', ...counts, 'To run': 'text' }, rows),
  );
}

function wordsSection() {
  return section(
    'Terms',
    element(
      'dl',
      { class: 'terms' },
      ...[
        ['Exclusive', 'What only this repository, namespace or tag needs. It is freed if only this one is deleted.'],
        ['Shared', 'What others need as well. It is freed when the last of them is deleted.'],
        ['Pulled', 'What clients pull: exclusive and shared bytes that tags reach, each blob counted once.'],
        ['Untagged', 'In use, but no tag reaches it: gc -m deletes it.'],
        ['Garbage', 'Needed by no repository: gc deletes it.'],
        ['New per week', 'Bytes that are new in a repository: the weekly average of the last four weeks.'],
      ].map(([term, meaning]) => element('div', {}, element('dt', {}, term), element('dd', {}, meaning))),
    ),
  );
}
