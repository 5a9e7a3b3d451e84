//! What was meant, perhaps, by a name that is not in the store.

use regc_core::Store;
use regc_core::inspect::catalog::ListOptions;
use regc_core::registry::pattern::{Part, Pattern};

use crate::output::printable;
use crate::progress::Progress;

/// How many names are suggested.
const SUGGESTED: usize = 3;

/// From which likeness on, of 0 to 1, a name is suggested.
const LIKE: f64 = 0.8;

/// Returns a hint with the names that are most like a pattern that matches nothing. The store is listed once more for it.
pub fn similar(store: &Store, progress: &Progress, patterns: &[&Pattern]) -> Option<String> {
    let listed = store.list(|_| true, ListOptions::new(), progress);
    progress.clear();
    // It is only a hint.
    let listings = listed.ok()?;
    let mut found: Vec<String> = Vec::new();
    for pattern in patterns {
        let text = pattern.to_string();
        let (name, tag) = match pattern.part() {
            Part::All => (&*text, None),
            Part::Tags(_) => text.rsplit_once(':').map_or((&*text, None), |(name, tag)| (name, Some(tag))),
            Part::Manifest(_) => text.rsplit_once('@').map_or((&*text, None), |(name, _)| (name, None)),
        };
        let suggested = match (listings.iter().find(|listing| listing.repository == name), tag) {
            (Some(listing), Some(tag)) => {
                let tags = listing.tags.iter().map(|tag| &*tag.name);
                nearest(tag, tags).into_iter().map(|tag| format!("{name}:{tag}")).collect()
            }
            (Some(_), None) => Vec::new(),
            (None, tag) => {
                let names = || listings.iter().map(|listing| &*listing.repository);
                let suffix = tag.map_or_else(String::new, |tag| format!(":{tag}"));
                let below = names().any(|other| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')));
                let below = below.then(|| format!("{name}/**{suffix}"));
                let named = names().filter(|other| other.rsplit('/').next() == Some(name));
                let mut repositories: Vec<&str> = named.chain(nearest(name, names())).collect();
                repositories.dedup();
                below.into_iter().chain(repositories.into_iter().map(|name| format!("{name}{suffix}"))).collect()
            }
        };
        found.extend(suggested.into_iter().take(SUGGESTED).filter(|name| name != &text));
    }
    found.dedup();
    let quoted = |name: &String| if name.contains('*') { format!("'{name}'") } else { name.clone() };
    let found: Vec<String> = found.iter().map(quoted).collect();
    (!found.is_empty()).then(|| printable(&format!("did you mean {}?", found.join(" or "))).into_owned())
}

/// Returns the names that are most like one, the most like first.
fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let likeness = names.map(|other| (strsim::jaro_winkler(name, other), other));
    // Of short names, one letter is much.
    let is_alike = |(likeness, other): &(f64, &str)| *likeness >= LIKE || strsim::damerau_levenshtein(name, other) == 1;
    let mut alike: Vec<(f64, &str)> = likeness.filter(is_alike).collect();
    alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    alike.into_iter().map(|(_, name)| name).take(SUGGESTED).collect()
}
