const SERVED_NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const REPOSITORIES = 'docker/registry/v2/repositories';

/** Whether a registry serves a repository of this name. @param {string} repository */
function isServed(repository) {
  return SERVED_NAME.test(repository);
}

/**
 * A word for a POSIX shell. Hidden characters are given to `printf` by their bytes: what is pasted is what is shown.
 * @param {string} text
 */
function shellWord(text) {
  if (/^[\w/.:@%+=,][\w/.:@%+=,-]*$/.test(text)) return text;
  if (!hasHidden(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const octal = (character) => {
    const encoded = [...new TextEncoder().encode(character)];
    return encoded.map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  };
  const format = text.replaceAll('\\', '\\\\').replaceAll('%', '%%').replaceAll("'", '\\047').replace(HIDDEN, octal);
  return `"$(printf '${format}')"`;
}

/**
 * The command that deletes a repository, or what `part` names in it: `:v1` or `@sha256:…`. `null` if there is none,
 * because no registry serves the repository's name and patterns do not match it.
 * @param {string} option how a command names the store @param {string} repository @param {string} [part]
 */
function removal(option, repository, part = '') {
  if (isServed(repository)) return `regc rm ${option} ${shellWord(repository + part)}`;
  if (part !== '') return null;
  // A shell cuts line ends off the end of what a command prints.
  const path = `${REPOSITORIES}/${repository}${repository.endsWith('\n') ? '/' : ''}`;
  return `regc rm ${option} --path ${shellWord(path)}`;
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element('textarea', { class: 'unseen', 'aria-hidden': 'true' });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
}

/** A command, and a button that copies it. @param {string} command */
function commandLine(command) {
  const copies = button(
    'Copy',
    async () => {
      await copy(command);
      say('Copied');
      announce('Copied to the clipboard');
      setTimeout(say, 1500, 'Copy');
    },
    { class: 'copy' },
  );
  const say = (title) => {
    copies.textContent = title;
    setAttribute(copies, 'aria-label', `${title} ${command}`);
  };
  say('Copy');
  return element('div', { class: 'command' }, element('code', { class: 'name' }, command), copies);
}

/** The commands that delete something: the dry run first. @param {string | null} command */
function removalSection(command) {
  if (command === null) {
    const text =
      'No registry serves a repository of this name, so no command can delete a part of it. ' +
      'The page of the repository has the command that deletes all of it.';
    return section('Delete', element('p', {}, text));
  }
  const dryRun = command.replace('regc rm ', () => 'regc rm --dry-run ');
  return section(
    'Delete',
    element('p', {}, 'First see what would be deleted and how many bytes that frees:'),
    commandLine(dryRun),
    element('p', {}, 'Then stop the registry, or make it read-only, and delete:'),
    commandLine(command),
  );
}
