// Sample registries. As a program: `node sample.mjs small|large FILE` writes a page about one.

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { assemble } from './assemble.mjs';
import { MADE, MadeRegistry, growth } from './registry.mjs';

const MIB = 1024 * 1024;

/** Names that would do harm if they were ever taken for markup, code, a formula, a marker or a path. */
export const HOSTILE = [
  '<script>window.harmed=1<',
  '"><img src=x onerror=window.harmed=1>',
  '</script><script>window.harmed=1</script>',
  'javascript:window.harmed=1',
  'it\'s "quoted" & <b>bold</b>',
  '{{style}}',
  "$&$`$'",
  'exe.\u202egnp',
  'line\nbreak\r',
  '=HYPERLINK("x")',
  '-rf',
  '+1',
  '@sum',
  '__proto__',
  'constructor',
  '%2e%2e%00',
  '\u2066isolate',
  'space and `tick` $(id)',
];

const STEPS = [
  ['/bin/sh -c #(nop) ADD file:4b1b in / ', 0],
  ['/bin/sh -c #(nop)  CMD ["bash"]', null],
  ['RUN /bin/sh -c apt-get update && apt-get install -y ca-certificates curl # buildkit', 1],
  ['WORKDIR /app', null],
  ['COPY package.json ./ # buildkit', 2],
  ['RUN /bin/sh -c npm ci --omit=dev # buildkit', 3],
  ['ENTRYPOINT ["node" "server.js"]', null],
];

function history(created, layers) {
  return STEPS.filter(([, layer]) => layer === null || layer < layers).map(([text, layer]) => [text, layer, created]);
}

/** A registry of a small company, with hostile names. */
export function small() {
  const made = new MadeRegistry(7);
  const { dice } = made;
  const bases = [29, 48, 77, 124].map((size) => made.blob(size * MIB));
  const runtimes = [61, 92, 180].map((size) => made.blob(size * MIB));
  const names = [
    'platform/base',
    'platform/node',
    'team/app',
    'team/app/worker',
    'team/web',
    'team/api',
    'team/search',
    'data/etl',
    'data/notebook',
    'data/models/embedding',
    'data/models/ranking',
    'mirror/postgres',
    'mirror/redis',
    'mirror/nginx',
    'ops/backup',
    'charts/app',
    ...Array.from({ length: 400 }, (_, index) => `sandbox/test-${index + 1}`),
  ];
  for (const title of names) {
    const isSmall = title.startsWith('sandbox/');
    const repository = made.repository(title);
    const scale = isSmall ? 1 + dice.below(3) : 20 + dice.below(120);
    for (let version = 1, count = isSmall ? 1 + dice.below(2) : 4 + dice.below(14); version <= count; version += 1) {
      const created = MADE - (count - version) * 12 * 86400 - dice.below(86400);
      const layers = [
        dice.of(bases),
        dice.of(runtimes),
        made.blob(dice.below(scale * MIB) + 2000),
        made.blob(dice.below(scale * MIB) + 2000),
      ];
      const image = made.image(repository, {
        layers,
        platform: 'linux/amd64',
        history: history(created, layers.length),
        created,
      });
      made.tag(repository, `v${version}`, image, { pushed: created + 300 });
      if (version === count) made.tag(repository, 'latest', image, { pushed: created + 400 });
    }
    made.repositories[repository].growth = growth(dice, scale * MIB);
    if (!isSmall)
      made.repositories[repository].untagged.push(
        made.image(repository, { layers: [bases[0], made.blob(scale * MIB)], created: MADE - 4e7 }),
      );
  }
  multiPlatform(made, bases);
  hostile(made, bases);
  const summary = made.summary();
  return { summary: { ...summary, ...found(HOSTILE) }, details: made.details() };
}

/** An index with platforms, a signature, an SBOM and an attestation, and tags with problems. */
function multiPlatform(made, bases) {
  const repository = made.repository('team/release');
  const created = MADE - 5 * 86400;
  const platforms = ['linux/amd64', 'linux/arm64', 'linux/arm/v7'].map((platform) => {
    const layers = [made.dice.of(bases), made.blob(44 * MIB), made.blob(9 * MIB), made.blob(3 * MIB)];
    return made.image(repository, { layers, platform, created, history: history(created, layers.length) });
  });
  const attached = ['signature', 'sbom', 'attestation'].map((kind) =>
    made.image(repository, { kind, layers: [made.blob(90_000)], created }),
  );
  const index = made.image(repository, { kind: 'index', children: platforms, referrers: attached, created });
  made.tag(repository, '2.4.0', index, { pushed: created });
  made.tag(repository, 'stable', index, { pushed: created });
  made.tag(repository, 'broken', null, { problem: 'manifest sha256:5f1c… is missing' });
}

function hostile(made, bases) {
  for (const title of HOSTILE) {
    const repository = made.repository(title);
    const layers = [bases[1], made.blob(MIB)];
    const image = made.image(repository, {
      layers,
      platform: title,
      created: MADE - 9e6,
      history: [
        [title, 0, null],
        [`RUN ${title}`, 1, null],
      ],
    });
    made.tag(repository, title.replaceAll('/', '_'), image, { problem: title });
    made.repositories[repository].untagged.push(made.image(repository, { layers, created: null }));
    made.repositories[repository].growth = growth(made.dice, MIB);
  }
}

function found(names) {
  const missing = (repository) => ({
    code: 'RG021',
    severity: 'error',
    title: 'content that is missing',
    message: `${repository}: the layer sha256:77aa… is missing`,
    remedy: 'push the image again, or take the content from another store with `regc repair --from`',
    repository,
  });
  const foreign = (text) => ({
    code: 'RG001',
    severity: 'note',
    title: "a name that does not belong to a registry's storage",
    message: text,
    remedy: 'none is needed; remove it if nobody knows it',
    repository: null,
  });
  const unserved = (repository) => ({
    code: 'RG005',
    severity: 'warning',
    title: 'a repository under a name that no registry serves',
    message: repository,
    remedy: 'rename the directory to have the repository back, or delete it with `regc rm --path`',
    repository,
  });
  const findings = [missing('team/release'), missing('team/app'), ...names.map(foreign), ...names.map(unserved)];
  const finding_counts = { RG001: names.length, RG005: names.length + 300, RG021: 2 };
  const uploads = {
    repository: ['team/app', 'team/gone', ...names],
    upload: ['0d3c6c3e-2f0c-4b12-9d8a-5a7f1f3f8c11', '7be0…', ...names],
    bytes: [81 * MIB, 12 * MIB, ...names.map(() => 10)],
    started: [MADE - 864000, null, ...names.map(() => MADE - 5000)],
  };
  return { findings, finding_counts, uploads };
}

/** A registry of many repositories with as many tags each. */
export function large(repositories = 10_000, tags = 20) {
  const made = new MadeRegistry(11);
  const { dice } = made;
  const bases = Array.from({ length: 40 }, () => made.blob((5 + dice.below(150)) * MIB));
  for (let index = 0; index < repositories; index += 1) {
    const repository = made.repository(`group-${dice.below(60)}/project-${dice.below(15)}/service-${index}`);
    const scale = Math.ceil(MIB * 3 * (1 / (1 - dice.next())) ** 0.8);
    for (let version = 1; version <= tags; version += 1) {
      const created = MADE - dice.below(900) * 86400;
      const layers = [dice.of(bases), dice.of(bases), made.blob(dice.below(scale))];
      const image = made.image(repository, { layers, platform: 'linux/amd64', history: history(created, 3), created });
      made.tag(repository, `1.${version}.${dice.below(50)}`, image, { pushed: created + 60 });
    }
    made.repositories[repository].growth = growth(dice, scale);
  }
  return { summary: made.summary(), details: made.details() };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , size, file] = process.argv;
  writeFileSync(file, assemble(size === 'large' ? large() : small()));
}
