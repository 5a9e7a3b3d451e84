//! A list, and where the cursor is in it.

use regc_core::Digest;

use super::entries::Entry;

/// What is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// What is in a namespace; in all, if it has no name.
    Namespace(String),
    /// The tags of a repository, and what is untagged in it.
    Repository(String),
    /// What an image consists of, and what is attached to it.
    Image { repository: String, digest: Digest, tag: Option<String> },
    /// What is untagged in a repository.
    UntaggedOf(String),
    /// The repositories that keep something without a tag.
    Untagged,
    /// Where garbage is.
    Garbage,
}

impl Place {
    /// The repository that it is in.
    pub fn repository(&self) -> Option<&str> {
        match self {
            Self::Repository(repository) | Self::UntaggedOf(repository) | Self::Image { repository, .. } => {
                Some(repository)
            }
            Self::Namespace(_) | Self::Untagged | Self::Garbage => None,
        }
    }
}

/// A list.
#[derive(Clone, Debug)]
pub struct Level {
    pub place: Place,
    pub filter: String,
    pub entries: Vec<Entry>,
    pub cursor: usize,
    /// The first entry that is shown.
    pub top: usize,
}

impl Level {
    pub fn new(place: Place) -> Self {
        Self { place, filter: String::new(), entries: Vec::new(), cursor: 0, top: 0 }
    }

    pub fn at_cursor(&self) -> Option<&Entry> {
        self.entries.get(self.cursor)
    }

    /// Moves the cursor by so many entries, as far as there are some.
    pub fn step(&mut self, by: isize) {
        let last = self.entries.len().saturating_sub(1);
        self.cursor = self.cursor.saturating_add_signed(by).min(last);
    }

    /// Scrolls so that the cursor is shown on a page of so many entries.
    pub fn scroll(&mut self, page: usize) {
        let lowest = (self.cursor + 1).saturating_sub(page);
        let highest = self.entries.len().saturating_sub(page);
        self.top = self.top.max(lowest).min(self.cursor).min(highest.max(lowest));
    }

    /// Replaces the entries. The cursor stays on what it is on, unless it is at the top, where it has not been moved.
    pub fn replace(&mut self, entries: Vec<Entry>) {
        let kept = self.at_cursor().filter(|_| self.cursor > 0).map(|entry| entry.what.clone());
        self.entries = entries;
        let found = kept.and_then(|kept| self.entries.iter().position(|entry| entry.what == kept));
        self.cursor = found.unwrap_or(self.cursor).min(self.entries.len().saturating_sub(1));
    }
}
