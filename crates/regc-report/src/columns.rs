//! Values as they are in the columns of the data.

use std::time::SystemTime;

use jiff::Timestamp;
use regc_core::inspect::overview::Overview;
use rustc_hash::FxHashMap as HashMap;

use crate::Shown;

/// Returns how much is shown of so many repositories.
pub fn shown(overview: &Overview<'_>, repositories: usize) -> Shown {
    let tags = |repositories: usize| -> u64 {
        overview.repositories[..repositories].iter().map(|repository| repository.listing.tags.len() as u64).sum()
    };
    let all = overview.repositories.len();
    Shown {
        repositories: repositories as u64,
        of_repositories: all as u64,
        tags: tags(repositories),
        of_tags: tags(all),
    }
}

/// Returns the seconds since 1970.
pub fn seconds(time: SystemTime) -> i64 {
    Timestamp::try_from(time).map_or(0, Timestamp::as_second)
}

/// Returns the seconds since 1970 of a time that a client has written.
pub fn parsed_seconds(time: Option<&str>) -> Option<i64> {
    time?.parse().ok().map(Timestamp::as_second)
}

/// Texts, each once.
#[derive(Default)]
pub struct Texts {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Texts {
    /// Returns the number of a text.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// Returns all of them, in the order of their numbers.
    pub fn into_texts(self) -> Vec<String> {
        self.texts
    }
}
