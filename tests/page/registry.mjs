// A made registry: what is exclusive and shared in it follows from its blobs, as in a real one.

export const MADE = 1790000000;
const WEEK = 7 * 86400;
const KINDS = ['image', 'index', 'signature', 'attestation', 'sbom', 'chart', 'cache', 'artifact', 'unknown'];

/** Numbers that look random and are always the same. */
export function dice(seed) {
  const next = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const below = (limit) => Math.floor(next() * limit);
  const hex = (length) => {
    let text = '';
    while (text.length < length) text += below(0x100000000).toString(16).padStart(8, '0');
    return text.slice(0, length);
  };
  return { next, below, hex, of: (list) => list[below(list.length)] };
}

export class MadeRegistry {
  constructor(seed) {
    this.dice = dice(seed);
    this.blobs = [];
    this.images = [];
    this.repositories = [];
    this.strings = new Map();
  }

  blob(bytes) {
    this.blobs.push({ digest: this.dice.hex(16), bytes, images: 0, repositories: new Set() });
    return this.blobs.length - 1;
  }

  repository(name) {
    this.repositories.push({ name, tags: [], untagged: [], growth: [] });
    return this.repositories.length - 1;
  }

  image(
    repository,
    { layers = [], kind = 'image', platform = null, history = null, children = [], referrers = [], created = null },
  ) {
    const config = this.blob(1500 + this.dice.below(8000));
    for (const blob of [config, ...layers]) {
      this.blobs[blob].images += 1;
      this.blobs[blob].repositories.add(repository);
    }
    this.images.push({
      repository,
      digest: this.dice.hex(64),
      kind,
      platform,
      history,
      children,
      referrers,
      created,
      config,
      layers,
    });
    return this.images.length - 1;
  }

  tag(repository, name, image, { pushed = MADE - this.dice.below(900) * 86400, problem = null } = {}) {
    this.repositories[repository].tags.push({ name, image, pushed, problem });
  }

  /** The blobs that images need, with those of their platforms and of what is attached to them. */
  needed(images) {
    const found = new Set();
    const seen = new Set();
    const waiting = [...images];
    while (waiting.length > 0) {
      const image = waiting.pop();
      if (seen.has(image)) continue;
      seen.add(image);
      const { config, layers, children, referrers } = this.images[image];
      found.add(config);
      for (const layer of layers) found.add(layer);
      waiting.push(...children, ...referrers);
    }
    return found;
  }

  sum(blobs, counts = () => true) {
    let sum = 0;
    for (const blob of blobs) if (counts(blob)) sum += this.blobs[blob].bytes;
    return sum;
  }

  string(text) {
    if (!this.strings.has(text)) this.strings.set(text, this.strings.size);
    return this.strings.get(text);
  }

  details() {
    const column = (field) => this.images.map((image) => image[field]);
    const history = (image) =>
      image.history?.map(([text, layer, created]) => [this.string(text), layer, created]) ?? null;
    const images = {
      repository: column('repository'),
      digest: column('digest').join(''),
      other_digests: {},
      kind: this.images.map((image) => KINDS.indexOf(image.kind)),
      bytes: this.images.map((_, image) => this.sum(this.needed([image]))),
      created: column('created'),
      platforms: this.images.map((image) => (image.platform === null ? [] : [this.string(image.platform)])),
      config: column('config'),
      layers: column('layers'),
      children: column('children'),
      referrers: column('referrers'),
      history: this.images.map(history),
    };
    const blobs = {
      digest: this.blobs.map((blob) => blob.digest).join(''),
      bytes: this.blobs.map((blob) => blob.bytes),
      images: this.blobs.map((blob) => blob.images),
      repositories: this.blobs.map((blob) => blob.repositories.size),
    };
    return { strings: [...this.strings.keys()], images, blobs };
  }

  summary() {
    const strings = [];
    const isExclusive = (blob) => this.blobs[blob].repositories.size === 1;
    const repositories = {
      name: [],
      exclusive: [],
      shared: [],
      pulled: [],
      untagged: [],
      garbage: [],
      tags: [],
      shared_with: [],
      growth: [],
    };
    const tags = {
      repository: [],
      name: [],
      image: [],
      pushed: [],
      created: [],
      exclusive: [],
      pulled: [],
      tags_of_image: [],
      kind: [],
      problem: [],
    };
    const untagged = { repository: [], image: [], pushed: [], bytes: [] };
    this.repositories.forEach((repository, index) => {
      const images = repository.tags.map((tag) => tag.image).filter((image) => image !== null);
      const pulled = this.needed(images);
      const all = this.needed([...images, ...repository.untagged]);
      repositories.name.push(repository.name);
      repositories.exclusive.push(this.sum(all, isExclusive));
      repositories.shared.push(this.sum(all, (blob) => !isExclusive(blob)));
      repositories.pulled.push(this.sum(pulled));
      repositories.untagged.push(this.sum(all, (blob) => !pulled.has(blob)));
      repositories.garbage.push(this.dice.below(3) === 0 ? this.dice.below(5e7) : 0);
      repositories.tags.push(repository.tags.length);
      repositories.shared_with.push(index > 0 ? [[index - 1, this.dice.below(2e8)]] : []);
      repositories.growth.push(repository.growth);
      for (const { name, image, pushed, problem } of repository.tags) {
        const needs = image === null ? new Set() : this.needed([image]);
        tags.repository.push(index);
        tags.name.push(name);
        tags.image.push(image);
        tags.pushed.push(pushed);
        tags.created.push(image === null ? null : this.images[image].created);
        tags.exclusive.push(this.sum(needs, (blob) => this.blobs[blob].images === 1));
        tags.pulled.push(image === null ? null : this.sum(needs));
        tags.tags_of_image.push(images.filter((other) => other === image).length);
        tags.kind.push(KINDS.indexOf(image === null ? 'unknown' : this.images[image].kind));
        tags.problem.push(problem === null ? null : strings.push(problem) - 1);
      }
      for (const image of repository.untagged) {
        untagged.repository.push(index);
        untagged.image.push(image);
        untagged.pushed.push(MADE - this.dice.below(300) * 86400);
        untagged.bytes.push(this.sum(this.needed([image])));
      }
    });
    return {
      ...this.store(),
      repositories,
      tags,
      untagged,
      strings,
      kinds: KINDS,
      namespaces: this.namespaces(),
      layers: this.layers(),
    };
  }

  /** What concerns the store as a whole. */
  store() {
    const live = this.blobs.reduce((sum, blob) => sum + blob.bytes, 0);
    const shared = this.sum(this.blobs.keys(), (blob) => this.blobs[blob].repositories.size > 1);
    const garbage = Math.round(live * 0.06);
    const totals = {
      total: live + garbage,
      live,
      exclusive: live - shared,
      shared,
      pulled: Math.round(live * 0.9),
      untagged: Math.round(live * 0.1),
      garbage,
      other: 4096,
      uploads: Math.round(live * 0.02),
      upload_count: 2,
      trash: Math.round(live * 0.03),
      trash_runs: 1,
      free: live * 2,
      capacity: live * 4,
    };
    const run = (name, share, more = {}) => ({
      name,
      command: `regc ${name} /etc/docker/registry/config.yml`,
      bytes: Math.round(live * share),
      tags: 0,
      manifests: Math.round(share * 900),
      blobs: Math.round(share * 4000),
      uploads: 0,
      refused: null,
      ...more,
    });
    const policy = 'prune --policy /etc/regc/retention.yml';
    const missing = 'prune --policy /etc/regc/old.yml';
    const would_free = [
      run('gc', 0.06),
      run('gc -m', 0.16),
      run('gc --tidy', 0.08, { uploads: 2 }),
      run('gc -m --tidy', 0.18, { uploads: 2 }),
      run(policy, 0.31, { tags: 118 }),
      run(missing, 0, { bytes: 0, refused: 'the policy names no repository that exists' }),
    ];
    const shown = {
      repositories: this.repositories.length,
      of_repositories: this.repositories.length,
    };
    shown.tags = this.repositories.reduce((sum, repository) => sum + repository.tags.length, 0);
    shown.of_tags = shown.tags;
    return {
      format: 1,
      regc: '0.1.0',
      made: MADE,
      store: '/var/lib/registry',
      config: '/etc/docker/registry/config.yml',
      argument: '/etc/docker/registry/config.yml',
      option: '-c /etc/docker/registry/config.yml',
      totals,
      would_free,
      shown,
      findings: [],
      finding_counts: {},
      uploads: { repository: [], upload: [], bytes: [], started: [] },
    };
  }

  namespaces() {
    const found = new Map();
    this.repositories.forEach(({ name }, repository) => {
      const parts = name.split('/');
      for (let length = 1; length < parts.length; length += 1) {
        const prefix = parts.slice(0, length).join('/');
        found.set(prefix, (found.get(prefix) ?? new Set()).add(repository));
      }
    });
    const columns = { name: [], exclusive: [], shared: [], pulled: [] };
    const sums = new Map([...found.keys()].map((name) => [name, [0, 0]]));
    const prefixes = this.repositories.map(({ name }) =>
      name
        .split('/')
        .slice(0, -1)
        .map((_, index, all) => all.slice(0, index + 1).join('/')),
    );
    for (const blob of this.blobs) {
      const users = new Map();
      for (const repository of blob.repositories)
        for (const prefix of prefixes[repository]) users.set(prefix, (users.get(prefix) ?? 0) + 1);
      for (const [prefix, count] of users) sums.get(prefix)[count === blob.repositories.size ? 0 : 1] += blob.bytes;
    }
    for (const [name, [exclusive, shared]] of sums) {
      columns.name.push(name);
      columns.exclusive.push(exclusive);
      columns.shared.push(shared);
      columns.pulled.push(exclusive + shared);
    }
    return columns;
  }

  layers() {
    const first = new Map();
    this.repositories.forEach((repository) =>
      repository.tags.forEach(({ name, image }) => {
        for (const layer of image === null ? [] : this.images[image].layers)
          if (!first.has(layer)) first.set(layer, `${repository.name}:${name}`);
      }),
    );
    const saves = (blob) => this.blobs[blob].bytes * (this.blobs[blob].images - 1);
    const best = [...this.blobs.keys()]
      .filter((blob) => this.blobs[blob].images > 1)
      .sort((a, b) => saves(b) - saves(a))
      .slice(0, 1000);
    return {
      digest: best.map((blob) => `sha256:${this.blobs[blob].digest.padEnd(64, '0')}`),
      bytes: best.map((blob) => this.blobs[blob].bytes),
      images: best.map((blob) => this.blobs[blob].images),
      repositories: best.map((blob) => this.blobs[blob].repositories.size),
      first: best.map((blob) => first.get(blob) ?? 'unknown'),
    };
  }
}

/** Growth of 26 weeks at most. */
export function growth({ below, next }, scale) {
  const last = Math.floor((MADE - 4 * 86400) / WEEK);
  const weeks = [];
  for (let week = last - 25; week <= last; week += 1) if (next() < 0.7) weeks.push([week, below(scale)]);
  return weeks;
}
