//! What is marked for deletion.

use std::collections::BTreeSet;

use regc_core::Deletion;

use super::Item;
use super::entries::What;
use super::store::Store;

/// How much of something is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    No,
    Partly,
    Yes,
}

/// What is marked.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    items: BTreeSet<Item>,
    /// How often it has changed.
    number: u64,
}

impl Marks {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Which of all the sets of marks so far it is.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn clear(&mut self) {
        self.items.clear();
        self.number += 1;
    }

    pub fn deletion(&self) -> Deletion {
        let mut deletion = Deletion::default();
        let whole = |item: &&Item| matches!(item, Item::Repository(_));
        // What is marked in a repository that is marked as a whole is part of that.
        self.items.iter().filter(|item| !whole(item)).for_each(|item| item.add_to(&mut deletion));
        self.items.iter().filter(whole).for_each(|item| item.add_to(&mut deletion));
        deletion
    }

    /// Marks something, or unmarks it if it is marked. A namespace stands for the repositories in it.
    ///
    /// Fails with the reason if it cannot be marked.
    pub fn toggle(&mut self, store: &Store, what: &What) -> Result<(), &'static str> {
        let items: Vec<Item> = match what {
            What::Namespace(name) => store.names_in(name).map(|name| Item::Repository(name.to_owned())).collect(),
            What::Garbage(_) => return Err("`regc gc` deletes garbage"),
            What::Untagged(_) => return Err("press Enter, and mark the untagged manifests there"),
            What::Config(_) | What::Layer(_) => {
                return Err("layers and configs are deleted with the images that need them");
            }
            What::Absent(_) => return Err("the repository does not have it"),
            other => other.item().into_iter().collect(),
        };
        if items.iter().any(|item| !matches!(item, Item::Repository(_)) && self.has_whole(item.repository())) {
            return Err("its whole repository is marked");
        }
        if items.iter().all(|item| self.items.contains(item)) {
            items.iter().for_each(|item| _ = self.items.remove(item));
        } else {
            self.items.extend(items);
        }
        self.number += 1;
        Ok(())
    }

    fn has_whole(&self, repository: &str) -> bool {
        self.items.contains(&Item::Repository(repository.to_owned()))
    }

    /// How much of something is marked.
    pub fn of(&self, store: &Store, what: &What) -> Marked {
        if self.items.is_empty() {
            return Marked::No;
        }
        let some = |has: bool| if has { Marked::Partly } else { Marked::No };
        match what {
            What::Namespace(name) => {
                let all = store.names_in(name).count();
                let marked = store.names_in(name).filter(|name| self.has_whole(name)).count();
                if marked == all { Marked::Yes } else { some(marked > 0 || self.has_below(name)) }
            }
            What::Repository(name) if self.has_whole(name) => Marked::Yes,
            What::Repository(name) | What::Untagged(name) => {
                some(self.items.iter().any(|item| item.repository() == name))
            }
            other => match other.item() {
                Some(item) if self.items.contains(&item) || self.has_whole(item.repository()) => Marked::Yes,
                _ => Marked::No,
            },
        }
    }

    fn has_below(&self, namespace: &str) -> bool {
        self.items.iter().any(|item| Store::is_in(item.repository(), namespace))
    }

    /// Unmarks what is no longer there.
    pub fn retain(&mut self, store: &Store) {
        self.items.retain(|item| store.repositories.contains_key(item.repository()));
        self.number += 1;
    }
}
