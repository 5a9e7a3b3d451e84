/**
 * A part of the registry as the map shows it.
 * @typedef {object} Area
 * @property {'registry' | 'namespace' | 'repository' | 'tag'} kind
 * @property {string} title
 * @property {string} path `team/` is a namespace, `team/app` a repository
 * @property {number} exclusive
 * @property {number} shared
 * @property {string} route where a click leads
 * @property {Area | null} above
 * @property {() => Area[]} parts
 */

/** The registry as namespaces, repositories and tags. */
class Tree {
  /** @param {Registry} registry */
  constructor(registry) {
    this.registry = registry;
    this.areas = new Map();
    const { namespaces, totals } = registry.summary;
    this.namespaces = new Map(namespaces.name.map((path, index) => [path, index]));
    this.root = this.area({
      kind: 'registry',
      title: 'registry',
      path: '',
      above: null,
      exclusive: totals.exclusive,
      shared: totals.shared,
    });
    registry.repositories.name.forEach((_, repository) => this.add(repository));
    for (const area of this.areas.values()) this.sum(area);
  }

  area(fields) {
    const made = { route: route('map', fields.path), below: [], parts: () => made.below, ...fields };
    this.areas.set(made.path, made);
    made.above?.below.push(made);
    return made;
  }

  /** @param {number} repository */
  add(repository) {
    const { name: names, exclusive, shared } = this.registry.repositories;
    const path = names[repository];
    const parts = path.split('/');
    let above = this.root;
    for (let length = 1; length < parts.length; length += 1) {
      const prefix = parts.slice(0, length).join('/');
      const title = parts[length - 1];
      above =
        this.areas.get(`${prefix}/`) ??
        this.area({ kind: 'namespace', title, path: `${prefix}/`, above, exclusive: null, shared: null });
    }
    const made = this.area({
      kind: 'repository',
      title: parts.at(-1),
      path,
      above,
      exclusive: exclusive[repository],
      shared: shared[repository],
    });
    made.parts = () => this.tagsIn(made, repository);
  }

  /** A namespace has each blob once; one that the report does not know has the sum of its parts. @param {Area} area */
  sum(area) {
    if (area.kind !== 'namespace') return;
    const { exclusive, shared } = this.registry.summary.namespaces;
    const known = this.namespaces.get(area.path.slice(0, -1));
    if (known !== undefined) {
      area.exclusive = exclusive[known];
      area.shared = shared[known];
      return;
    }
    for (const part of area.below) this.sum(part);
    area.exclusive = area.below.reduce((sum, part) => sum + part.exclusive, 0);
    area.shared = area.below.reduce((sum, part) => sum + part.shared, 0);
  }

  /** @param {Area} above @param {number} repository */
  tagsIn(above, repository) {
    const { registry } = this;
    const tags = registry.tagsOf(repository).map((tag) => ({
      kind: 'tag',
      title: registry.tags.name[tag],
      path: registry.reference(tag),
      above,
      exclusive: registry.tags.exclusive[tag],
      shared: registry.sharedOfTag(tag) ?? 0,
      route: routeOfImage(above.path, registry.tags.name[tag]),
      parts: () => [],
    }));
    above.parts = () => tags;
    return tags;
  }

  /** @param {string} path */
  find(path) {
    return this.areas.get(path) ?? null;
  }
}
