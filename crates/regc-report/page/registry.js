const HEX_OF_SHA256 = 64;
const HEX_OF_BLOB = 16;
const NO_DIGEST = '0'.repeat(HEX_OF_SHA256);

/** The manifests and blobs of the report. They are decoded when a view first needs them. */
class Details {
  constructor(details) {
    this.strings = details.strings;
    this.images = details.images;
    this.blobs = details.blobs;
    this.parents = null;
    this.subjects = null;
  }

  /** @param {number} image */
  digest(image) {
    const hex = this.images.digest.slice(image * HEX_OF_SHA256, (image + 1) * HEX_OF_SHA256);
    return hex === NO_DIGEST ? (this.images.other_digests[image] ?? UNKNOWN) : `sha256:${hex}`;
  }

  /** The beginning of a blob's digest. @param {number} blob */
  blobDigest(blob) {
    return `sha256:${this.blobs.digest.slice(blob * HEX_OF_BLOB, (blob + 1) * HEX_OF_BLOB)}`;
  }

  /** @param {number} image */
  platforms(image) {
    return this.images.platforms[image].map((index) => this.strings[index]).join(', ');
  }

  /** @param {number} repository @param {string} digest */
  find(repository, digest) {
    return this.images.repository.findIndex((of, image) => of === repository && this.digest(image) === digest);
  }

  /** The indexes that hold an image as a platform. @param {number} image */
  indexesWith(image) {
    this.parents ??= turnedAround(this.images.children);
    return this.parents.get(image) ?? [];
  }

  /** The images to which this one is attached. @param {number} image */
  subjectsOf(image) {
    this.subjects ??= turnedAround(this.images.referrers);
    return this.subjects.get(image) ?? [];
  }
}

/** From what each number is listed. @param {number[][]} lists @returns {Map<number, number[]>} */
function turnedAround(lists) {
  const found = new Map();
  lists.forEach((list, from) => {
    for (const to of list) {
      if (!found.has(to)) found.set(to, []);
      found.get(to).push(from);
    }
  });
  return found;
}

/** What the report knows of a registry. */
class Registry {
  constructor(summary) {
    this.summary = summary;
    this.repositories = summary.repositories;
    this.tags = summary.tags;
    this.untagged = summary.untagged;
    this.byName = new Map(this.repositories.name.map((repository, index) => [repository, index]));
    this.firstTags = new Map();
    this.tags.repository.forEach((repository, tag) => {
      if (!this.firstTags.has(repository)) this.firstTags.set(repository, tag);
    });
    this.lastPushes = new Float64Array(this.repositories.name.length);
    this.tags.repository.forEach((repository, tag) => {
      this.lastPushes[repository] = Math.max(this.lastPushes[repository], this.tags.pushed[tag] ?? 0);
    });
    /** @type {Promise<Details> | null} */
    this.decoding = null;
  }

  details() {
    this.decoding ??= decodeBlock('details').then((details) => new Details(details));
    return this.decoding;
  }

  /** @param {number} tag */
  repositoryOfTag(tag) {
    return this.repositories.name[this.tags.repository[tag]];
  }

  /** @param {number} tag */
  reference(tag) {
    return `${this.repositoryOfTag(tag)}:${this.tags.name[tag]}`;
  }

  /** What a tag needs that others need as well. @param {number} tag */
  sharedOfTag(tag) {
    const pulled = this.tags.pulled[tag];
    return pulled === null ? null : Math.max(0, pulled - this.tags.exclusive[tag]);
  }

  /** The tags of a repository, which stand together. @param {number} repository */
  tagsOf(repository) {
    const found = [];
    let tag = this.firstTags.get(repository) ?? this.tags.name.length;
    for (; this.tags.repository[tag] === repository; tag += 1) found.push(tag);
    return found;
  }

  /** @param {number} repository @param {string} tag */
  findTag(repository, tag) {
    return this.tagsOf(repository).find((index) => this.tags.name[index] === tag) ?? -1;
  }

  /** @param {number} repository */
  untaggedOf(repository) {
    const found = [];
    this.untagged.repository.forEach((of, index) => {
      if (of === repository) found.push(index);
    });
    return found;
  }

  /** @param {number} tag */
  kindOfTag(tag) {
    return this.summary.kinds[this.tags.kind[tag]] ?? UNKNOWN;
  }

  /** @param {number} tag */
  problemOfTag(tag) {
    const problem = this.tags.problem[tag];
    return problem === null ? null : this.summary.strings[problem];
  }

  /** The last push to a repository, `null` if it has no tag. @param {number} repository */
  lastPush(repository) {
    return this.lastPushes[repository] || null;
  }

  /** The bytes per week that were new to a repository in the last four weeks. @param {number} repository */
  bytesPerWeek(repository) {
    const last = weekOf(this.summary.made);
    const recent = this.repositories.growth[repository].filter(([week]) => week > last - 4 && week <= last);
    return recent.reduce((sum, [, pushed]) => sum + pushed, 0) / 4;
  }
}
