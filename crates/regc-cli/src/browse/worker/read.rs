//! Reading the store, and answering what needs all of it.

use std::sync::mpsc::{Receiver, TryRecvError};

use regc_core::inspect::catalog::ListOptions;
use regc_core::inspect::reclaimable::Reclaimable;
use regc_core::inspect::usage::{Detail, RepositoryUsage, Usage};
use regc_core::{Deletion, Error};

use super::progress::Watched;
use super::{Worker, told};
use crate::browse::message::{Message, Named, NamedTag, OfRepository, Request, Sizes, Subject};

impl Worker<'_> {
    /// Reads the store and answers requests; returns whether it is to be read again, since it was changed.
    pub(super) fn read_and_answer(&self, requests: &Receiver<Request>) -> Result<bool, Error> {
        let store = &self.opened.store;
        let monitor = Watched { progress: self.progress, stop: self.stop, is_removal: false };
        let listed = store.list(|_| true, ListOptions::new(), &monitor)?;
        let named = listed.into_iter().map(|listing| {
            let tags = listing.tags.into_iter();
            let tags = tags.map(|tag| NamedTag { name: tag.name, digest: tag.digest, pushed: tag.pushed }).collect();
            Named { repository: listing.repository, tags }
        });
        self.send(Message::Names(named.collect()));
        let scan = store.scan(&monitor)?;
        let usage = store.usage(&scan, Detail::default().tags(true).namespaces(true), &monitor)?;
        let reclaimable = store.reclaimable(&scan, &monitor)?;
        self.send(Message::Sizes(Box::new(sizes(usage))));
        while let Ok(request) = requests.recv() {
            let mut latest = None;
            let mut request = Some(request);
            loop {
                match request.take() {
                    Some(Request::Plan(deletion)) => {
                        // A sum that nobody waits for any more.
                        if self.remove(deletion, requests) {
                            return Ok(true);
                        }
                    }
                    // Only the latest set of marks matters.
                    Some(Request::Sum { of: of @ Subject::Marks(_), deletion }) => latest = Some((of, deletion)),
                    Some(Request::Sum { of, deletion }) => self.sum(&reclaimable, of, &deletion)?,
                    Some(Request::Needs(digests)) => {
                        let needs = digests.into_iter().map(|digest| (digest, reclaimable.needs(&digest)));
                        self.send(Message::Needs(needs.collect()));
                    }
                    Some(Request::Images(_) | Request::Answer(_)) | None => {}
                }
                match requests.try_recv() {
                    Ok(next) => request = Some(next),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            if let Some((of, deletion)) = latest {
                self.sum(&reclaimable, of, &deletion)?;
            }
        }
        Ok(false)
    }

    fn sum(&self, reclaimable: &Reclaimable<'_>, of: Subject, deletion: &Deletion) -> Result<(), Error> {
        let sum = match reclaimable.by(deletion, self.stop) {
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            sum => sum.map_err(|error| told(&error).join(": ")),
        };
        self.send(Message::Sum(of, sum));
        Ok(())
    }
}

fn sizes(usage: Usage<'_>) -> Sizes {
    let Usage { live, garbage, unlinked_garbage, repositories, namespaces, .. } = usage;
    let namespaces = namespaces.into_iter();
    let namespaces =
        namespaces.map(|found| (found.namespace.trim_end_matches('/').to_owned(), [found.exclusive, found.shared]));
    let of_repository = |usage: RepositoryUsage<'_>| {
        let RepositoryUsage { repository, exclusive, shared, untagged, garbage, shared_with, tags, .. } = usage;
        let shared_with = shared_with.into_iter().take(SHARED_WITH);
        let of = OfRepository {
            exclusive,
            shared,
            untagged,
            garbage,
            shared_with: shared_with.map(|with| (with.repository.to_owned(), with.bytes)).collect(),
            tags: tags.into_iter().map(|tag| (tag.tag, [Some(tag.exclusive), tag.pulled], tag.tags_of_image)).collect(),
        };
        (repository.to_owned(), of)
    };
    Sizes {
        repositories: repositories.into_iter().map(of_repository).collect(),
        namespaces: namespaces.collect(),
        live,
        garbage,
        unlinked_garbage,
    }
}

/// How many of the repositories that share blobs with one are named.
const SHARED_WITH: usize = 5;
