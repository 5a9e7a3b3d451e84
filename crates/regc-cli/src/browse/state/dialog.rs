//! What is shown above the list.

use indicatif::BinaryBytes;
use ratatui::crossterm::event::KeyCode;
use regc_core::registry::image::ImageKind;

use super::entries::{Entry, What, short};
use super::store::Store;
use super::{Reaction, State};
use crate::browse::message::{Planned, Removed, Request};
use crate::process::time;

/// What is shown above the list. `top` is the first line that is shown.
#[derive(Clone, Debug)]
pub enum Dialog {
    Help {
        top: usize,
    },
    Info {
        lines: Vec<String>,
        top: usize,
    },
    /// The store is being locked and scanned.
    Planning,
    /// The plan is there; the answer is being typed, if a word must be.
    Question {
        planned: Planned,
        typed: String,
        top: usize,
    },
    Removing,
    Done {
        removed: Removed,
        top: usize,
    },
    Refused {
        causes: Vec<String>,
        top: usize,
    },
}

/// What is typed where no repository would be left.
const EVERYTHING: &str = "everything";

impl State {
    pub(super) fn key_in_dialog(&mut self, code: KeyCode) -> Reaction {
        let lines = self.dialog.as_ref().map_or(0, |dialog| dialog.text(false).1.len());
        if let Some(by) = scrolled(code)
            && let Some(top) = self.dialog.as_mut().and_then(Dialog::top)
        {
            *top = top.saturating_add_signed(by).min(lines.saturating_sub(1));
            return Reaction::default();
        }
        match self.dialog.take() {
            Some(Dialog::Question { planned, typed, top }) => self.answer(planned, typed, top, code),
            Some(running @ (Dialog::Planning | Dialog::Removing)) => {
                self.dialog = Some(running);
                Reaction { cancels: code == KeyCode::Esc, ..Reaction::default() }
            }
            // Any other key closes it.
            _ => Reaction::default(),
        }
    }

    /// Handles a key while the question stands. Only `y` is a yes, and where no repository would be left, a word is.
    fn answer(&mut self, planned: Planned, mut typed: String, top: usize, code: KeyCode) -> Reaction {
        if !planned.blocked.is_empty() {
            return Request::Answer(false).into();
        }
        let is_agreed = match (planned.everything, code) {
            (None, KeyCode::Char('y' | 'Y')) => true,
            (Some(_), KeyCode::Enter) => typed == EVERYTHING,
            (Some(_), KeyCode::Char(_) | KeyCode::Backspace) => {
                match code {
                    KeyCode::Char(character) => typed.push(character),
                    _ => drop(typed.pop()),
                }
                self.dialog = Some(Dialog::Question { planned, typed, top });
                return Reaction::default();
            }
            _ => false,
        };
        if is_agreed {
            self.dialog = Some(Dialog::Removing);
        } else {
            self.note = Some("nothing was deleted".to_owned());
        }
        Request::Answer(is_agreed).into()
    }
}

fn scrolled(code: KeyCode) -> Option<isize> {
    match code {
        KeyCode::Up => Some(-1),
        KeyCode::Down => Some(1),
        KeyCode::PageUp => Some(-10),
        KeyCode::PageDown => Some(10),
        _ => None,
    }
}

impl Dialog {
    fn top(&mut self) -> Option<&mut usize> {
        match self {
            Self::Help { top }
            | Self::Info { top, .. }
            | Self::Question { top, .. }
            | Self::Done { top, .. }
            | Self::Refused { top, .. } => Some(top),
            Self::Planning | Self::Removing => None,
        }
    }

    /// The first line that is shown.
    pub fn first_line(&self) -> usize {
        match self {
            Self::Help { top }
            | Self::Info { top, .. }
            | Self::Question { top, .. }
            | Self::Done { top, .. }
            | Self::Refused { top, .. } => *top,
            Self::Planning | Self::Removing => 0,
        }
    }

    /// The dialog's title, and its lines.
    pub fn text(&self, deletes: bool) -> (&'static str, Vec<String>) {
        match self {
            Self::Help { .. } => ("Keys", HELP.lines().map(str::to_owned).collect()),
            Self::Info { lines, .. } => ("Information", lines.clone()),
            Self::Planning => {
                ("Plan", vec!["locking and scanning the store".to_owned(), String::new(), "Esc stops it".to_owned()])
            }
            Self::Removing => {
                let doing = if deletes { "deleting" } else { "moving to the trash" };
                ("Deletion", vec![doing.to_owned(), String::new(), "Esc stops it after the current step".to_owned()])
            }
            Self::Question { planned, typed, .. } => ("Deletion", question(planned, typed)),
            Self::Done { removed, .. } => ("Done", done(removed)),
            Self::Refused { causes, .. } => {
                let mut lines: Vec<String> = causes.first().cloned().into_iter().collect();
                lines.extend(causes.iter().skip(1).map(|cause| match cause.starts_with("hint: ") {
                    true => cause.clone(),
                    false => format!("caused by: {cause}"),
                }));
                lines.extend([String::new(), "Nothing was deleted.".to_owned()]);
                ("Error", lines)
            }
        }
    }
}

fn question(planned: &Planned, typed: &str) -> Vec<String> {
    let Planned { question, numbers, names, blocked, notes, everything } = planned;
    let mut lines = Vec::new();
    if blocked.is_empty() {
        lines.extend([format!("This removes {numbers}."), String::new()]);
        lines.extend(notes.iter().cloned());
        match everything {
            None => lines.push(format!("{question} [y/N]")),
            Some(all) => {
                lines.push(format!(
                    "{question} All {all} repositories are deleted. Type `{EVERYTHING}` and Enter to continue:"
                ));
                lines.push(format!("> {typed}"));
            }
        }
        lines.push(String::new());
        lines.extend(names.iter().cloned());
    } else {
        lines.push("Some of the marked entries cannot be deleted, so nothing is deleted:".to_owned());
        lines.extend(blocked.iter().cloned());
        lines.extend(notes.iter().cloned());
    }
    lines
}

fn done(removed: &Removed) -> Vec<String> {
    let mut lines = vec![removed.summary.clone()];
    if let Some(undo) = &removed.undo {
        lines.extend([String::new(), "To undo this:".to_owned(), undo.clone()]);
    }
    if !removed.notes.is_empty() {
        lines.push(String::new());
        lines.extend(removed.notes.iter().cloned());
    }
    lines
}

/// Returns what is known of an entry.
pub fn info(store: &Store, entry: &Entry) -> Option<Vec<String>> {
    match &entry.what {
        What::Repository(name) | What::Untagged(name) => Some(info_of_repository(store, name)),
        What::Tag { repository, tag, digest } => {
            let mut lines = vec![format!("{repository}:{tag}"), String::new()];
            lines.extend(entry.pushed.map(|pushed| format!("pushed     {}", time(pushed))));
            match digest {
                Some(digest) => lines.extend(info_of_image(store, repository, digest)),
                None => lines.push("its link is garbled".to_owned()),
            }
            Some(lines)
        }
        What::Manifest { repository, digest } => {
            let mut lines = vec![format!("{repository}@{}", short(digest)), String::new()];
            lines.extend(entry.pushed.map(|pushed| format!("pushed     {}", time(pushed))));
            lines.extend(info_of_image(store, repository, digest));
            Some(lines)
        }
        What::Config(digest) | What::Layer(digest) | What::Absent(digest) => {
            let mut lines = vec![entry.name.clone(), String::new(), format!("digest     {digest}")];
            if !matches!(entry.what, What::Absent(_)) {
                lines.push(format!("bytes      {}, {} bytes", BinaryBytes(entry.all()), entry.all()));
            }
            lines.extend((!entry.more.is_empty()).then(|| entry.more.clone()));
            Some(lines)
        }
        What::Namespace(name) => {
            let mut lines = vec![format!("{name}/"), String::new()];
            lines.push(format!("repositories  {}", store.names_in(name).count()));
            lines.extend(entry.exclusive.map(|bytes| format!("exclusive     {}", BinaryBytes(bytes))));
            lines.extend(entry.shared.map(|bytes| format!("shared        {}", BinaryBytes(bytes))));
            Some(lines)
        }
        What::Garbage(_) => None,
    }
}

fn info_of_repository(store: &Store, name: &str) -> Vec<String> {
    let mut lines = vec![name.to_owned(), String::new()];
    let Some(repository) = store.repositories.get(name) else { return lines };
    lines.push(format!("tags       {}", repository.tags.len()));
    lines.extend(repository.newest.map(|newest| format!("pushed     {}", time(newest))));
    if let Some(sizes) = &repository.sizes {
        let rows = [
            ("exclusive", sizes.exclusive),
            ("shared", sizes.shared),
            ("untagged", sizes.untagged),
            ("garbage", sizes.garbage),
        ];
        lines.extend(rows.map(|(name, bytes)| format!("{name:<9}  {}", BinaryBytes(bytes))));
        for (other, bytes) in &sizes.shared_with {
            lines.push(format!("  shared with {other}: {}", BinaryBytes(*bytes)));
        }
    }
    lines
}

fn info_of_image(store: &Store, repository: &str, digest: &regc_core::Digest) -> Vec<String> {
    let mut lines = vec![format!("digest     {digest}")];
    let Some(images) = store.images(repository) else {
        lines.push("press Enter to see the rest".to_owned());
        return lines;
    };
    let Some(tree) = images.trees.get(digest) else {
        lines.push("its manifest is missing, or not linked".to_owned());
        return lines;
    };
    let image = &tree.image;
    lines.push(format!("kind       {}", image.kind.name()));
    if !image.platforms.is_empty() {
        lines.push(format!("platforms  {}", image.platforms.join(" ")));
    }
    lines.extend(image.created.as_ref().map(|created| format!("created    {created}")));
    lines.extend(image.bytes.map(|bytes| format!("bytes      {}, {bytes} bytes", BinaryBytes(bytes))));
    match image.kind {
        ImageKind::Index => lines.push(format!("manifests  {}", tree.children.len())),
        _ => lines.push(format!("layers     {}", tree.layers.len())),
    }
    lines.extend(image.subject.map(|subject| format!("attached to {subject}")));
    for referrer in &tree.referrers {
        let kind = images.trees.get(referrer).map_or("manifest", |found| found.image.kind.name());
        lines.push(format!("attached   {kind} {referrer}"));
    }
    lines
}

const HELP: &str = "\
Up Down PgUp PgDn Home End   move (also k j)
Enter Right l                open
Left Backspace h             go back
/                            filter; Enter keeps it, Esc clears it
s                            sort by size, name, age in turn
n a                          sort by name, by age; again: reverse
i                            information
Space                        mark or unmark
u                            unmark all
d                            delete the marked entries, or this one
g                            garbage
m                            untagged manifests
q Ctrl-C                     quit

EXCLUSIVE is what nothing else needs: deleting this frees it.
SHARED is what others need as well: deleting this does not free it.
In the bar, # is exclusive and . is shared.
A layer is exclusive if no other image needs it.
The line below the list shows what deleting all marked entries frees.";
