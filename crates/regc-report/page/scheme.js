const SCHEMES = ['system', 'light', 'dark'];
const SCHEME_KEY = 'regc-report-scheme';

/** The choice between light and dark. It is remembered where the browser remembers anything for a file. */
function schemeSwitch() {
  const select = element('select', {}, ...SCHEMES.map((scheme) => element('option', { value: scheme }, scheme)));
  const apply = () => {
    document.documentElement.dataset.scheme = select.value;
  };
  try {
    const remembered = localStorage.getItem(SCHEME_KEY);
    if (SCHEMES.includes(remembered)) select.value = remembered;
  } catch {
    // Storage is blocked: the system's scheme it is.
  }
  apply();
  select.addEventListener('change', () => {
    apply();
    try {
      localStorage.setItem(SCHEME_KEY, select.value);
    } catch {
      // It is not remembered.
    }
  });
  return element('label', {}, 'Colours ', select);
}
