//! Why something is planned.

use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;

use crate::digest::Digest;
use crate::finding::Kind;
use crate::repair::Action;
use crate::verify::Defect;

/// Why an action is planned: what a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cause {
    /// What is wrong. If a manifest is linked again, the links that it needs have the same cause.
    pub kind: Kind,
    /// The affected images, sorted: `repository:tag`, or `repository@digest` where no tag reaches it.
    pub images: Vec<String>,
    /// Whether it may affect more images: if there are too many, only the nearest ones are listed.
    pub has_more_images: bool,
}

/// The defects for which actions are planned.
#[derive(Default)]
pub(super) struct Causes<'a> {
    present: Option<&'a Defect>,
    of_actions: HashMap<Action, &'a Defect>,
    of_lost: HashMap<(String, Digest), &'a Defect>,
}

impl<'a> Causes<'a> {
    /// Sets the defect for which the next actions are planned.
    pub(super) fn begin(&mut self, defect: &'a Defect) {
        self.present = Some(defect);
    }

    /// The same for what is done about a lost manifest.
    pub(super) fn begin_with_lost(&mut self, repository: &str, digest: &Digest) {
        self.present = self.of_lost.get(&(repository.to_owned(), *digest)).copied();
    }

    /// Remembers the present defect as the reason why a manifest is lost.
    pub(super) fn lose(&mut self, repository: &str, digest: &Digest) {
        if let Some(defect) = self.present {
            self.of_lost.entry((repository.to_owned(), *digest)).or_insert(defect);
        }
    }

    /// Remembers the present defect as the cause of an action, unless it has one that is nearer: the first, or the one
    /// at the action's own path.
    pub(super) fn of(&mut self, action: &Action) {
        let Some(defect) = self.present else { return };
        let known = self.of_actions.get(action);
        if known.is_none_or(|known| known.path != action.path() && defect.path == action.path()) {
            self.of_actions.insert(action.clone(), defect);
        }
    }

    /// Returns the cause of each action. Actions of one defect share it, since it may name many images.
    pub(super) fn shared(self) -> HashMap<Action, Arc<Cause>> {
        let mut causes: HashMap<*const Defect, Arc<Cause>> = HashMap::new();
        let mut cause = |defect: &Defect| {
            let new = || {
                let Defect { kind, images, has_more_images, .. } = defect;
                Arc::new(Cause { kind: *kind, images: images.clone(), has_more_images: *has_more_images })
            };
            causes.entry(ptr::from_ref(defect)).or_insert_with(new).clone()
        };
        self.of_actions.into_iter().map(|(action, defect)| (action, cause(defect))).collect()
    }
}
