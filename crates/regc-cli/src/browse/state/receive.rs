//! What messages change of the state.

use super::entries::What;
use super::level::Place;
use super::{Dialog, Reaction, State, Sum};
use crate::browse::message::{Message, Subject};

impl State {
    /// Takes what the threads have found out.
    pub fn receive(&mut self, message: Message) -> Reaction {
        let mut requests = Vec::new();
        let changes_entries = message.changes_entries();
        match message {
            Message::Names(named) => {
                self.store.take_names(named);
                self.frees.clear();
                self.is_asking = false;
                self.marks.retain(&self.store);
                self.leave_what_is_gone();
                let innermost = self.levels.iter().rev().find_map(|level| level.place.repository());
                let innermost = innermost.map(str::to_owned);
                requests.extend(innermost.and_then(|repository| self.store.request_images(&repository)));
                requests.extend(self.marks_changed().requests);
            }
            Message::Sizes(sizes) => self.store.take_sizes(*sizes),
            Message::Images(repository, images) => self.store.take_images(repository, images),
            Message::Needs(needs) => {
                self.is_asking = false;
                self.store.needs.extend(needs);
            }
            Message::Sum(Subject::Marks(number), sum) => {
                if number == self.marks.number() {
                    self.sum = sum.map_or_else(Sum::Failed, |sum| Sum::Known(Box::new(sum)));
                }
            }
            Message::Sum(Subject::One(what), sum) => {
                self.is_asking = false;
                self.frees.insert(what, sum.map_or_else(Sum::Failed, |sum| Sum::Known(Box::new(sum))));
            }
            Message::Planned(planned) => {
                self.dialog = Some(Dialog::Question { planned: *planned, typed: String::new(), top: 0 });
            }
            Message::Removed(removed) => {
                self.marks.clear();
                self.sum = Sum::Nothing;
                self.store.measure_again();
                self.removed.push((*removed).clone());
                self.dialog = Some(Dialog::Done { removed: *removed, top: 0 });
            }
            Message::Refused(causes) => self.dialog = Some(Dialog::Refused { causes, top: 0 }),
            Message::Failed(causes) => self.failed = Some(causes),
        }
        if changes_entries {
            self.refresh();
        }
        let page = self.page;
        self.level_mut().scroll(page);
        Reaction { requests, ..Reaction::default() }
    }

    /// Goes back to a place that is still there.
    fn leave_what_is_gone(&mut self) {
        let is_there = |place: &Place| match place {
            Place::Namespace(name) => self.store.names_in(name).next().is_some(),
            Place::Image { repository, digest, tag: Some(tag) } => {
                let tags = self.store.repositories.get(repository).into_iter().flat_map(|repository| &repository.tags);
                tags.into_iter().any(|found| found.name == *tag && found.digest == Some(*digest))
            }
            place => place.repository().is_none_or(|repository| self.store.repositories.contains_key(repository)),
        };
        let gone = self.levels.iter().skip(1).position(|level| !is_there(&level.place));
        if let Some(gone) = gone {
            self.levels.truncate(gone + 1);
        }
    }
}

impl Message {
    /// Whether lists show something else then. A list may be long, so it is made anew only if it does.
    fn changes_entries(&self) -> bool {
        match self {
            Self::Names(_) | Self::Sizes(_) | Self::Images(..) | Self::Needs(_) => true,
            Self::Sum(Subject::One(what), _) => matches!(what, What::Manifest { .. }),
            _ => false,
        }
    }
}
