/** @param {string[]} parts */
function route(...parts) {
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}

/** @param {string} repository */
function routeOfRepository(repository) {
  return route('repository', repository);
}

/** @param {string} repository @param {string} reference a tag or a digest */
function routeOfImage(repository, reference) {
  return route('image', repository, reference);
}

/** The parts of a route, `null` if the hash is none. @param {string} hash */
function partsOf(hash) {
  if (hash === '' || hash === '#') return [''];
  if (!hash.startsWith('#/')) return null;
  try {
    return hash.slice(2).split('/').map(decodeURIComponent);
  } catch {
    return ['unknown'];
  }
}
