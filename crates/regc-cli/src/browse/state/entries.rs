//! The entries of a list: what they are, and in which order.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use regc_core::Digest;
use regc_core::inspect::catalog::{Listing, Tree};
use regc_core::registry::image::{ImageKind, Part};

use super::level::Place;
use super::store::{Repository, Store, Tag};
use super::{Item, Sort, Sum};
use crate::output::natural;

/// What an entry stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// Several repositories, by the beginning of their names without the slash.
    Namespace(String),
    Repository(String),
    Tag {
        repository: String,
        tag: String,
        digest: Option<Digest>,
    },
    Manifest {
        repository: String,
        digest: Digest,
    },
    /// What is untagged in a repository.
    Untagged(String),
    /// The garbage that a repository links; without a name, that no repository links.
    Garbage(Option<String>),
    Config(Digest),
    Layer(Digest),
    /// A manifest that an index names and the repository does not have.
    Absent(Digest),
}

impl What {
    /// What can be marked.
    pub fn item(&self) -> Option<Item> {
        match self {
            Self::Repository(name) => Some(Item::Repository(name.clone())),
            Self::Tag { repository, tag, digest } => {
                Some(Item::Tag { repository: repository.clone(), tag: tag.clone(), digest: *digest })
            }
            Self::Manifest { repository, digest } => {
                Some(Item::Manifest { repository: repository.clone(), digest: *digest })
            }
            _ => None,
        }
    }
}

/// An entry of a list.
#[derive(Clone, Debug)]
pub struct Entry {
    pub what: What,
    pub name: String,
    /// What only it needs, in bytes; `None` if that is not known.
    pub exclusive: Option<u64>,
    /// What it shares, in bytes.
    pub shared: Option<u64>,
    /// When it was pushed last.
    pub pushed: Option<SystemTime>,
    /// What is shown behind the name.
    pub more: String,
    /// In which part of the list it is: those of one part stay together.
    part: u8,
}

impl Entry {
    fn new(what: What, name: impl Into<String>) -> Self {
        Self { what, name: name.into(), exclusive: None, shared: None, pushed: None, more: String::new(), part: 0 }
    }

    /// All that it needs, in bytes.
    pub fn all(&self) -> u64 {
        self.exclusive.unwrap_or(0) + self.shared.unwrap_or(0)
    }
}

/// Lists what is at a place, as far as it contains the filter.
pub fn entries(store: &Store, frees: &HashMap<What, Sum>, place: &Place, filter: &str) -> Vec<Entry> {
    let filter = filter.to_lowercase();
    let is_wanted = |name: &str| filter.is_empty() || name.to_lowercase().contains(&filter);
    let mut entries = match place {
        Place::Namespace(name) if filter.is_empty() => namespace(store, name),
        // At any depth, so that a name is found wherever it is.
        Place::Namespace(name) => store.names_in(name).map(|name| repository(store, name, name)).collect(),
        Place::Untagged => untagged(store),
        Place::Garbage => garbage(store),
        Place::Repository(name) => {
            let tags = store.repositories.get(name).into_iter().flat_map(|repository| &repository.tags);
            let problems = store.images(name);
            tags.map(|found| tag(name, found, problems)).chain(untagged_of(store, frees, name)).collect()
        }
        Place::UntaggedOf(name) => untagged_of(store, frees, name).collect(),
        Place::Image { repository, digest, .. } => store
            .images(repository)
            .and_then(|images| images.trees.get(digest).map(|tree| parts(store, frees, images, repository, tree)))
            .unwrap_or_default(),
    };
    entries.retain(|entry| is_wanted(&entry.name) || is_wanted(&entry.more));
    entries
}

/// Orders entries: the largest, or the latest, or the first by name, comes first.
pub fn sort(entries: &mut [Entry], by: Sort, reversed: bool) {
    let by_name = |one: &Entry, other: &Entry| natural::compare(&one.name, &other.name);
    let order = |one: &Entry, other: &Entry| match by {
        Sort::Name => by_name(one, other),
        Sort::Age => Reverse(one.pushed).cmp(&Reverse(other.pushed)).then_with(|| by_name(one, other)),
        Sort::Size => {
            let size = |entry: &Entry| Reverse((entry.exclusive, entry.shared));
            size(one).cmp(&size(other)).then_with(|| by_name(one, other))
        }
    };
    let order = |one: &Entry, other: &Entry| match (order(one, other), reversed) {
        (order, false) => order,
        (order, true) => order.reverse(),
    };
    entries.sort_by(|one, other| match one.part.cmp(&other.part) {
        Ordering::Equal => order(one, other),
        parts => parts,
    });
}

/// What is directly in a namespace. A repository whose name is also a namespace is in it.
fn namespace(store: &Store, namespace: &str) -> Vec<Entry> {
    let depth = if namespace.is_empty() { 0 } else { namespace.len() + 1 };
    let mut below = BTreeSet::new();
    let mut repositories = Vec::new();
    for name in store.names_in(namespace) {
        match name.get(depth..).and_then(|rest| rest.split_once('/')) {
            Some((first, _)) => drop(below.insert(&name[..depth + first.len()])),
            None => repositories.push(name),
        }
    }
    let repositories = repositories.into_iter().filter(|name| !below.contains(name));
    let of_repositories: Vec<Entry> =
        repositories.map(|name| repository(store, name, name.get(depth..).unwrap_or(name))).collect();
    let of_below = below.iter().map(|name| {
        let mut entry = Entry::new(What::Namespace((*name).to_owned()), format!("{}/", &name[depth..]));
        let sizes = store.namespaces.get(*name).filter(|_| store.is_measured());
        (entry.exclusive, entry.shared) = (sizes.map(|sizes| sizes[0]), sizes.map(|sizes| sizes[1]));
        entry.pushed = store.names_in(name).filter_map(|name| store.repositories[name].newest).max();
        entry
    });
    of_below.chain(of_repositories).collect()
}

fn repository(store: &Store, name: &str, shown: &str) -> Entry {
    let mut entry = Entry::new(What::Repository(name.to_owned()), shown);
    if let Some(Repository { newest, sizes, tags }) = store.repositories.get(name) {
        entry.pushed = *newest;
        entry.exclusive = sizes.as_ref().map(|sizes| sizes.exclusive);
        entry.shared = sizes.as_ref().map(|sizes| sizes.shared);
        if tags.is_empty() {
            entry.more = "no tags".to_owned();
        }
    }
    entry
}

fn untagged(store: &Store) -> Vec<Entry> {
    let sized = store.repositories.iter().filter_map(|(name, found)| Some((name, found, found.sizes.as_ref()?)));
    let some = sized.filter(|(_, _, sizes)| sizes.untagged > 0);
    let entry = |(name, found, sizes): (&String, &Repository, &crate::browse::message::OfRepository)| Entry {
        shared: Some(sizes.untagged),
        pushed: found.newest,
        ..Entry::new(What::Untagged(name.clone()), name)
    };
    some.map(entry).collect()
}

fn garbage(store: &Store) -> Vec<Entry> {
    let of = |name: Option<&String>, bytes: u64| Entry {
        exclusive: Some(bytes),
        ..Entry::new(What::Garbage(name.cloned()), name.map_or("(linked by no repository)", String::as_str))
    };
    let sized = store.repositories.iter().filter_map(|(name, found)| Some((name, found.sizes.as_ref()?.garbage)));
    let linked = sized.map(|(name, bytes)| of(Some(name), bytes));
    let unlinked = store.totals.map(|[_, _, unlinked]| of(None, unlinked));
    linked.chain(unlinked).filter(|entry| entry.exclusive > Some(0)).collect()
}

fn tag(repository: &str, tag: &Tag, images: Option<&Listing>) -> Entry {
    let what = What::Tag { repository: repository.to_owned(), tag: tag.name.clone(), digest: tag.digest };
    let mut entry = Entry::new(what, &tag.name);
    entry.exclusive = tag.exclusive;
    entry.shared = tag.pulled.zip(tag.exclusive).map(|(pulled, exclusive)| pulled.saturating_sub(exclusive));
    entry.pushed = Some(tag.pushed);
    let listed = images.and_then(|images| images.tags.iter().find(|listed| listed.name == tag.name));
    entry.more = match (tag.digest, listed.and_then(|listed| listed.problem.as_ref())) {
        (None, _) => "its link is garbled".to_owned(),
        (_, Some(problem)) => {
            let page = problem.kind.page();
            format!("{}: {}", page.code, page.title)
        }
        _ if tag.tags_of_image > 1 => format!("{} tags name it", tag.tags_of_image),
        _ => String::new(),
    };
    entry
}

fn untagged_of<'s>(
    store: &'s Store,
    frees: &'s HashMap<What, Sum>,
    repository: &'s str,
) -> impl Iterator<Item = Entry> + 's {
    let untagged = store.images(repository).into_iter().flat_map(|images| &images.untagged);
    untagged.map(move |untagged| {
        let image = &untagged.image;
        let name = format!("({}) {}", named(image.kind), short(&image.digest));
        let mut entry = manifest(frees, repository, image.digest, name, image.bytes);
        entry.pushed = Some(untagged.pushed);
        entry.more = if entry.more.is_empty() { "untagged".to_owned() } else { entry.more };
        entry.part = 1;
        entry
    })
}

fn manifest(frees: &HashMap<What, Sum>, repository: &str, digest: Digest, name: String, bytes: Option<u64>) -> Entry {
    let what = What::Manifest { repository: repository.to_owned(), digest };
    let known = frees.get(&what).cloned();
    let mut entry = Entry::new(what, name);
    match known {
        Some(Sum::Known(reclaimed)) => {
            let bytes = bytes.unwrap_or_else(|| reclaimed.all_bytes());
            entry.exclusive = Some(reclaimed.all_bytes().min(bytes));
            entry.shared = Some(bytes.saturating_sub(reclaimed.all_bytes()));
        }
        _ => entry.shared = bytes,
    }
    entry
}

/// What an image consists of: the manifests in it, what is attached to it, its config and its layers.
fn parts(store: &Store, frees: &HashMap<What, Sum>, images: &Listing, repository: &str, tree: &Tree) -> Vec<Entry> {
    let of_manifest = |digest: &Digest, is_attached: bool| {
        let Some(found) = images.trees.get(digest) else {
            let mut absent = Entry::new(What::Absent(*digest), short(digest));
            absent.more = "not in this repository".to_owned();
            return absent;
        };
        let image = &found.image;
        let platforms = image.platforms.join(" ");
        let title = if platforms.is_empty() || is_attached { named(image.kind) } else { &platforms };
        let mut entry = manifest(frees, repository, *digest, format!("{title}  {}", short(digest)), image.bytes);
        entry.more = if is_attached { "attached".to_owned() } else { String::new() };
        entry.part = u8::from(is_attached);
        entry
    };
    let of_part = |part: &Part, what: What, title: &str, step: Option<&str>| {
        let mut entry = Entry::new(what, format!("{title}  {}", short(&part.digest)));
        let in_images = images
            .trees
            .values()
            .filter(|other| other.layers.iter().chain(&other.config).any(|other| other.digest == part.digest));
        let (in_images, in_repositories) = (in_images.count(), store.needs.get(&part.digest));
        match (in_images, in_repositories) {
            (1, Some(1)) => entry.exclusive = Some(part.bytes),
            (_, Some(0)) => entry.more = "missing".to_owned(),
            _ => (entry.exclusive, entry.shared) = (in_repositories.map(|_| 0), Some(part.bytes)),
        }
        if let Some(&needs) = in_repositories.filter(|needs| **needs > 1) {
            entry.more = format!("in {needs} repositories");
        } else if in_images > 1 {
            entry.more = format!("in {in_images} images");
        }
        if let Some(step) = step {
            entry.more = if entry.more.is_empty() { step.to_owned() } else { format!("{}  {step}", entry.more) };
        }
        entry.part = 2;
        entry
    };
    let steps: Vec<Option<&str>> =
        tree.history.iter().filter(|step| !step.empty_layer).map(|step| step.created_by.as_deref()).collect();
    let steps = if steps.len() == tree.layers.len() { steps } else { vec![None; tree.layers.len()] };
    let children = tree.children.iter().map(|digest| of_manifest(digest, false));
    let attached = tree.referrers.iter().map(|digest| of_manifest(digest, true));
    let config = tree.config.iter().map(|config| of_part(config, What::Config(config.digest), "config", None));
    let layers = tree.layers.iter().zip(steps);
    let layers = layers.map(|(layer, step)| of_part(layer, What::Layer(layer.digest), "layer", step));
    children.chain(attached).chain(config).chain(layers).collect()
}

fn named(kind: ImageKind) -> &'static str {
    kind.name()
}

/// `sha256:0123456789ab`.
pub fn short(digest: &Digest) -> String {
    let digest = digest.to_string();
    digest.get(..19).unwrap_or(&digest).to_owned()
}
