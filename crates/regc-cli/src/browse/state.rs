//! What the window shows, and what keys change of it. Nothing here reads the store or draws: a state is changed by keys and
//! messages, and says what to request.

mod dialog;
mod entries;
mod level;
mod marks;
mod receive;
mod store;

use std::collections::HashMap;
use std::time::SystemTime;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use regc_core::inspect::reclaimable::Reclaimed;
use regc_core::{Deletion, Digest};

pub use self::dialog::Dialog;
pub use self::entries::{Entry, What, short};
pub use self::level::{Level, Place};
pub use self::marks::{Marked, Marks};
pub use self::store::Store;
use super::message::{Request, Subject};

/// Something that can be marked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    Repository(String),
    Tag { repository: String, tag: String, digest: Option<Digest> },
    Manifest { repository: String, digest: Digest },
}

impl Item {
    pub fn repository(&self) -> &str {
        match self {
            Self::Repository(repository) | Self::Tag { repository, .. } | Self::Manifest { repository, .. } => {
                repository
            }
        }
    }

    /// Adds it to a deletion.
    pub fn add_to(&self, deletion: &mut Deletion) {
        match self {
            Self::Repository(repository) => deletion.repository(repository),
            Self::Tag { repository, tag, digest } => deletion.tag(repository, tag, *digest),
            Self::Manifest { repository, digest } => deletion.manifest(repository, *digest),
        }
    }
}

/// What entries are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Size,
    Name,
    Age,
}

/// A number that may not be known yet.
#[derive(Clone, Debug)]
pub enum Sum {
    Nothing,
    Requested,
    Known(Box<Reclaimed>),
    Failed(String),
}

/// What a key leads to, besides another state.
#[derive(Default)]
pub struct Reaction {
    pub requests: Vec<Request>,
    /// Whether the window is closed.
    pub quits: bool,
    /// Whether what runs is to be stopped: planning, or a removal.
    pub cancels: bool,
}

impl From<Request> for Reaction {
    fn from(request: Request) -> Self {
        Self { requests: vec![request], ..Self::default() }
    }
}

/// Which store it is, and what may be done to it.
#[derive(Clone, Debug)]
pub struct Terms {
    pub place: String,
    pub read_only: bool,
    /// Whether what is removed is deleted at once, rather than moved to the trash.
    pub deletes: bool,
}

/// How many repositories of a namespace are summed up only because the cursor is on it.
const SUMMED: usize = 100;

pub struct State {
    pub terms: Terms,
    pub now: SystemTime,
    pub store: Store,
    /// Where the cursor is, below where it came from.
    pub levels: Vec<Level>,
    pub marks: Marks,
    pub sum: Sum,
    /// What single things free, as far as that was asked for.
    pub frees: HashMap<What, Sum>,
    pub sort: Sort,
    pub reversed: bool,
    pub dialog: Option<Dialog>,
    /// Whether a filter is being typed.
    pub is_filtering: bool,
    /// What the last key could not do.
    pub note: Option<String>,
    /// The removals so far, to be repeated on the terminal when the window is closed.
    pub removed: Vec<super::message::Removed>,
    /// The error that ended everything.
    pub failed: Option<Vec<String>>,
    /// How many entries fit the window.
    pub page: usize,
    /// Whether a single thing is being summed up.
    is_asking: bool,
}

impl State {
    pub fn new(terms: Terms, now: SystemTime) -> Self {
        Self {
            terms,
            now,
            store: Store::default(),
            levels: vec![Level::new(Place::Namespace(String::new()))],
            marks: Marks::default(),
            sum: Sum::Nothing,
            frees: HashMap::new(),
            sort: Sort::Size,
            reversed: false,
            dialog: None,
            is_filtering: false,
            note: None,
            removed: Vec::new(),
            failed: None,
            page: 10,
            is_asking: false,
        }
    }

    pub fn level(&self) -> &Level {
        self.levels.last().expect("the first level is never left")
    }

    fn level_mut(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the first level is never left")
    }

    /// Sets how many entries fit the window, and scrolls so that the cursor is among them.
    pub fn resize(&mut self, page: usize) {
        self.page = page.max(1);
        let page = self.page;
        self.level_mut().scroll(page);
    }

    /// Handles a key.
    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        if key.kind == KeyEventKind::Release {
            return Reaction::default();
        }
        self.note = None;
        let reaction = if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => self.interrupt(),
                _ => Reaction::default(),
            }
        } else if self.dialog.is_some() {
            self.key_in_dialog(key.code)
        } else if self.is_filtering {
            self.key_in_filter(key.code)
        } else {
            self.key_in_list(key.code)
        };
        let page = self.page;
        self.level_mut().scroll(page);
        reaction
    }

    /// Ctrl-C ends what runs, or else everything.
    fn interrupt(&mut self) -> Reaction {
        match self.dialog {
            Some(Dialog::Planning | Dialog::Removing) => Reaction { cancels: true, ..Reaction::default() },
            Some(Dialog::Question { .. }) => Reaction { quits: true, ..Request::Answer(false).into() },
            _ => Reaction { quits: true, ..Reaction::default() },
        }
    }

    fn key_in_list(&mut self, code: KeyCode) -> Reaction {
        let page = self.page as isize;
        match code {
            KeyCode::Char('q') => return Reaction { quits: true, ..Reaction::default() },
            KeyCode::Up | KeyCode::Char('k') => self.level_mut().step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.level_mut().step(1),
            KeyCode::PageUp => self.level_mut().step(-page),
            KeyCode::PageDown => self.level_mut().step(page),
            KeyCode::Home => self.level_mut().step(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.level_mut().step(isize::MAX),
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => return self.enter(),
            KeyCode::Left | KeyCode::Backspace | KeyCode::Char('h') => self.leave(),
            KeyCode::Esc => self.clear_filter(),
            KeyCode::Char('/') => self.is_filtering = true,
            KeyCode::Char('s') => self.cycle(),
            KeyCode::Char('n') => self.order(Sort::Name),
            KeyCode::Char('a') => self.order(Sort::Age),
            KeyCode::Char('g') => self.show(Place::Garbage),
            KeyCode::Char('m') => self.show_untagged(),
            KeyCode::Char('i') => self.show_info(),
            KeyCode::Char('?') => self.dialog = Some(Dialog::Help { top: 0 }),
            KeyCode::Char(' ') => return self.mark(),
            KeyCode::Char('u') => return self.unmark(),
            KeyCode::Char('d') => return self.delete(),
            _ => {}
        }
        Reaction::default()
    }

    fn key_in_filter(&mut self, code: KeyCode) -> Reaction {
        let page = self.page as isize;
        match code {
            KeyCode::Enter => self.is_filtering = false,
            KeyCode::Esc => {
                self.is_filtering = false;
                self.clear_filter();
            }
            KeyCode::Up => self.level_mut().step(-1),
            KeyCode::Down => self.level_mut().step(1),
            KeyCode::PageUp => self.level_mut().step(-page),
            KeyCode::PageDown => self.level_mut().step(page),
            KeyCode::Backspace => {
                self.level_mut().filter.pop();
                self.refresh();
            }
            KeyCode::Char(character) => {
                self.level_mut().filter.push(character);
                self.refresh();
            }
            _ => {}
        }
        Reaction::default()
    }

    fn clear_filter(&mut self) {
        if !self.level().filter.is_empty() {
            self.level_mut().filter.clear();
            self.refresh();
        }
    }

    /// Sorts by the next of size, name and age.
    fn cycle(&mut self) {
        self.reversed = false;
        self.sort = match self.sort {
            Sort::Size => Sort::Name,
            Sort::Name => Sort::Age,
            Sort::Age => Sort::Size,
        };
        self.refresh();
    }

    /// Sorts by this, and if that is done already, the other way round.
    fn order(&mut self, sort: Sort) {
        self.reversed = self.sort == sort && !self.reversed;
        self.sort = sort;
        self.refresh();
    }

    /// Lists the entries of the present level anew. The cursor stays on what it is on.
    fn refresh(&mut self) {
        let (sort, reversed) = (self.sort, self.reversed);
        let level = self.levels.last().expect("the first level is never left");
        let mut entries = entries::entries(&self.store, &self.frees, &level.place, &level.filter);
        entries::sort(&mut entries, sort, reversed);
        self.level_mut().replace(entries);
    }

    fn show(&mut self, place: Place) {
        if self.level().place == place {
            return self.leave();
        }
        self.levels.push(Level::new(place));
        self.refresh();
    }

    /// Shows what no tag reaches: of the repository, or of the store.
    fn show_untagged(&mut self) {
        let place = match &self.level().place {
            Place::Repository(repository) => Place::UntaggedOf(repository.clone()),
            Place::UntaggedOf(_) => return self.leave(),
            _ => Place::Untagged,
        };
        self.show(place);
    }

    fn enter(&mut self) -> Reaction {
        let Some(what) = self.level().at_cursor().map(|entry| entry.what.clone()) else { return Reaction::default() };
        let place = match what {
            What::Namespace(name) => Place::Namespace(name),
            What::Repository(name) => Place::Repository(name),
            What::Untagged(name) => Place::UntaggedOf(name),
            What::Tag { repository, tag, digest: Some(digest) } => Place::Image { repository, digest, tag: Some(tag) },
            What::Manifest { repository, digest } => Place::Image { repository, digest, tag: None },
            What::Tag { digest: None, .. } => {
                self.note = Some("the tag's link is garbled, so it is unknown what it names".to_owned());
                return Reaction::default();
            }
            What::Config(_) | What::Layer(_) | What::Absent(_) | What::Garbage(_) => return Reaction::default(),
        };
        let request = place.repository().and_then(|repository| self.store.request_images(repository));
        self.levels.push(Level::new(place));
        self.refresh();
        Reaction { requests: request.into_iter().collect(), ..Reaction::default() }
    }

    fn leave(&mut self) {
        if self.levels.len() > 1 {
            self.levels.pop();
            self.refresh();
        }
    }

    fn show_info(&mut self) {
        let Some(entry) = self.level().at_cursor() else { return };
        if let Some(lines) = dialog::info(&self.store, entry) {
            self.dialog = Some(Dialog::Info { lines, top: 0 });
        }
    }

    /// Marks what the cursor is on, or unmarks it, and moves on.
    fn mark(&mut self) -> Reaction {
        if self.terms.read_only {
            self.note = Some("--read-only: nothing can be marked or deleted".to_owned());
            return Reaction::default();
        }
        let Some(what) = self.level().at_cursor().map(|entry| entry.what.clone()) else { return Reaction::default() };
        match self.marks.toggle(&self.store, &what) {
            Ok(()) => {
                self.level_mut().step(1);
                self.marks_changed()
            }
            Err(note) => {
                self.note = Some(note.to_owned());
                Reaction::default()
            }
        }
    }

    fn unmark(&mut self) -> Reaction {
        self.marks.clear();
        self.marks_changed()
    }

    fn marks_changed(&mut self) -> Reaction {
        if self.marks.is_empty() {
            self.sum = Sum::Nothing;
            return Reaction::default();
        }
        self.sum = Sum::Requested;
        Request::Sum { of: Subject::Marks(self.marks.number()), deletion: self.marks.deletion() }.into()
    }

    /// Asks for a plan of what is marked, or else of what the cursor is on.
    fn delete(&mut self) -> Reaction {
        if self.terms.read_only {
            self.note = Some("--read-only: nothing can be marked or deleted".to_owned());
            return Reaction::default();
        }
        if !self.store.is_measured() {
            self.note = Some("the store is still being read".to_owned());
            return Reaction::default();
        }
        let deletion = if self.marks.is_empty() {
            let mut alone = Marks::default();
            let Some(entry) = self.level().at_cursor() else { return Reaction::default() };
            if let Err(note) = alone.toggle(&self.store, &entry.what) {
                self.note = Some(note.to_owned());
                return Reaction::default();
            }
            alone.deletion()
        } else {
            self.marks.deletion()
        };
        self.dialog = Some(Dialog::Planning);
        Request::Plan(deletion).into()
    }

    /// Time passes: asks what deleting the thing at the cursor, or another that is shown, would free, one at a time.
    pub fn tick(&mut self) -> Reaction {
        if self.is_asking || self.dialog.is_some() || !self.store.is_measured() {
            return Reaction::default();
        }
        let level = self.level();
        if let Place::Image { repository, digest, .. } = &level.place
            && let Some(request) = self.store.request_needs(repository, digest)
        {
            self.is_asking = true;
            return request.into();
        }
        let shown = level.entries.iter().skip(level.top).take(self.page);
        // The sizes of the others are known.
        let manifests = shown.filter(|entry| matches!(entry.what, What::Manifest { .. }));
        let mut wanted = level.at_cursor().into_iter().chain(manifests).map(|entry| &entry.what);
        let unknown = wanted.find_map(|what| {
            let mut alone = Marks::default();
            let is_unknown = !self.frees.contains_key(what) && alone.toggle(&self.store, what).is_ok();
            (is_unknown && alone.len() <= SUMMED).then(|| (what.clone(), alone.deletion()))
        });
        let Some((what, deletion)) = unknown else { return Reaction::default() };
        self.is_asking = true;
        self.frees.insert(what.clone(), Sum::Requested);
        Request::Sum { of: Subject::One(what), deletion }.into()
    }
}
