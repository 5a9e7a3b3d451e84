/** @param {Registry} registry @param {number[]} rows */
function findingsTable(registry, rows, caption, file, hasRepository = true) {
  const { findings } = registry.summary;
  const of = (field) => (row) => findings[row][field];
  const kept = rows.map((row) => findings[row]);
  const prose = (...content) => element('div', { class: 'prose' }, ...content);
  const repository = (row) =>
    findings[row].repository === null ? '' : nameOfRepository(registry, findings[row].repository);
  return new DataTable({
    caption,
    file,
    rows,
    text: (row) =>
      Object.values(findings[row])
        .filter((value) => value !== null)
        .join(' '),
    choices: [
      choiceOf(
        'Severity',
        kept.map(({ severity }) => severity),
        of('severity'),
      ),
      choiceOf(
        'Code',
        kept.map(({ code }) => code),
        of('code'),
      ),
    ],
    columns: [
      { title: 'Code', kind: 'text', value: of('code') },
      { title: 'Severity', kind: 'text', value: of('severity'), cell: (row) => severityOf(findings[row]) },
      {
        title: 'Finding',
        kind: 'text',
        value: of('message'),
        cell: (row) =>
          prose(
            element('b', {}, ...marked(findings[row].title)),
            element('p', { class: 'name' }, findings[row].message),
          ),
      },
      ...(hasRepository ? [{ title: 'Repository', kind: 'text', value: of('repository'), cell: repository }] : []),
      {
        title: 'Remedy',
        kind: 'text',
        value: of('remedy'),
        cell: (row) => prose(...marked(findings[row].remedy ?? '')),
      },
    ],
  });
}

/** A text in which what stands between backquotes is code. @param {string} text */
function marked(text) {
  return text.split('`').map((part, index) => (index % 2 === 1 ? element('code', {}, part) : part));
}

function severityOf(finding) {
  const isSevere = !['note', 'warning'].includes(finding.severity);
  return element('span', { class: isSevere ? 'severity severe' : 'severity' }, finding.severity);
}

/** @param {Registry} registry */
function findingsView(registry) {
  const { findings, finding_counts: counts } = registry.summary;
  if (findings.length === 0) return page('Findings', element('p', {}, 'Nothing was found.'));
  const examples = new Map(findings.map((finding) => [finding.code, finding]));
  const rows = Object.entries(counts)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([code, count]) => {
      const example = examples.get(code);
      return [
        code,
        example ? severityOf(example) : '',
        example ? element('span', {}, ...marked(example.title)) : '',
        whole(count),
        commandLine(`regc explain ${shellWord(code)}`),
      ];
    });
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const cut =
    all > findings.length
      ? element('p', { class: 'cut' }, `This page lists ${whole(findings.length)} of ${counted(all, 'finding')}.`)
      : null;
  const columns = {
    Code: 'text',
    Severity: 'text',
    'What is wrong': 'text',
    Findings: 'number',
    'To read more': 'text',
  };
  const table = findingsTable(
    registry,
    findings.map((_, row) => row),
    'All findings',
    'findings.csv',
  );
  return page(
    'Findings',
    cut,
    plainTable('Findings by code', columns, rows),
    element('h2', {}, 'All findings'),
    table.root,
  );
}
