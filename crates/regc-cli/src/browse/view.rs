//! Draws a state: plain characters, and colours only where they are wanted.

mod dialog;
mod list;
mod text;

use indicatif::{BinaryBytes, HumanCount};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use self::text::{cut, cut_front};
use super::state::{Place, Sort, State, Sum, What};
use crate::output::printable;

/// How many lines are not of the list: the title, the columns' heads, and three below.
const OTHER_LINES: u16 = 5;

/// How a state is drawn.
#[derive(Clone, Copy)]
pub struct Look {
    pub has_colours: bool,
}

impl Look {
    fn coloured(self, style: Style, colour: Color) -> Style {
        if self.has_colours { style.fg(colour) } else { style }
    }
}

/// How many entries fit a window of so many lines.
pub fn page(height: u16) -> usize {
    usize::from(height.saturating_sub(OTHER_LINES)).max(1)
}

/// Draws the state, and what the threads are doing.
pub fn draw(frame: &mut Frame<'_>, state: &State, doing: &str, look: Look) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.height < OTHER_LINES + 1 || area.width < 20 {
        line(buffer, area, 0, "the terminal is too small", Style::default());
        return;
    }
    title(buffer, area, state);
    list::draw(buffer, area, state, doing, look);
    let below = area.height - 3;
    line(buffer, area, below, &here(state, doing), Style::default());
    let style = Style::default().add_modifier(Modifier::BOLD);
    let style = if state.marks.is_empty() { style } else { look.coloured(style, Color::Yellow) };
    line(buffer, area, below + 1, &marked(state), style);
    line(buffer, area, below + 2, &keys(state, area.width), Style::default().add_modifier(Modifier::REVERSED));
    if let Some(dialog) = &state.dialog {
        dialog::draw(buffer, area, dialog, state, doing);
    }
}

/// Draws one whole line.
fn line(buffer: &mut Buffer, area: Rect, at: u16, text: &str, style: Style) {
    buffer.set_style(Rect::new(area.x, area.y + at, area.width, 1), style);
    let width = usize::from(area.width);
    buffer.set_stringn(area.x, area.y + at, cut(text, width), width, style);
}

fn title(buffer: &mut Buffer, area: Rect, state: &State) {
    let style = Style::default().add_modifier(Modifier::REVERSED);
    let order = match state.sort {
        Sort::Size => "size",
        Sort::Name => "name",
        Sort::Age => "age",
    };
    let reversed = if state.reversed { ", reversed" } else { "" };
    let terms = match (state.terms.read_only, state.terms.deletes) {
        (true, _) => ", read-only",
        (false, true) => ", deletes at once",
        (false, false) => "",
    };
    let mode = format!("  by {order}{reversed}{terms} ");
    let width = usize::from(area.width).saturating_sub(mode.len());
    line(buffer, area, 0, "", style);
    buffer.set_stringn(area.x, area.y, cut_front(&place(state), width), width, style);
    buffer.set_string(area.x + width as u16, area.y, mode, style);
}

/// Where the cursor is.
fn place(state: &State) -> String {
    let store = format!(" regc browse  {}", printable(&state.terms.place));
    let here = match &state.level().place {
        Place::Namespace(name) if name.is_empty() => String::new(),
        Place::Namespace(name) => format!("  {}/", printable(name)),
        Place::Repository(name) => format!("  {}", printable(name)),
        Place::Image { repository, tag: Some(tag), .. } => format!("  {}:{}", printable(repository), printable(tag)),
        Place::Image { repository, digest, tag: None } => {
            format!("  {}@{}", printable(repository), super::state::short(digest))
        }
        Place::UntaggedOf(name) => format!("  {}, untagged", printable(name)),
        Place::Untagged => "  untagged manifests".to_owned(),
        Place::Garbage => "  garbage".to_owned(),
    };
    store + &here
}

/// What is known of the entry at the cursor, or what is going on.
fn here(state: &State, doing: &str) -> String {
    if let Some(note) = &state.note {
        return format!(" {}", printable(note));
    }
    if state.is_filtering {
        return format!(" filter: {}_", printable(&state.level().filter));
    }
    let filter = match &*state.level().filter {
        "" => String::new(),
        filter => format!("filter: {}  ", printable(filter)),
    };
    let entry = state.level().at_cursor();
    let freed = entry.and_then(|entry| state.frees.get(&entry.what));
    let here = match freed {
        Some(Sum::Known(reclaimed)) if reclaimed.blocked.is_empty() => format!(
            "deleting this frees {} in {}",
            BinaryBytes(reclaimed.all_bytes()),
            crate::output::count(reclaimed.blobs, "blob")
        ),
        Some(Sum::Known(reclaimed)) => {
            format!("this cannot be deleted by itself: {}", printable(&reclaimed.blocked[0].reason.to_string()))
        }
        Some(Sum::Failed(error)) => printable(error).into_owned(),
        _ if !state.store.is_measured() => doing.to_owned(),
        _ if matches!(entry.map(|entry| &entry.what), Some(What::Garbage(_))) => "`regc gc` deletes garbage".to_owned(),
        _ => match state.store.totals {
            Some([live, garbage, _]) => {
                format!("{} in use, {} garbage", BinaryBytes(live), BinaryBytes(garbage))
            }
            None => String::new(),
        },
    };
    format!(" {filter}{here}")
}

/// What all marks together free.
fn marked(state: &State) -> String {
    if state.marks.is_empty() {
        return match state.terms.read_only {
            true => String::new(),
            false => " nothing is marked".to_owned(),
        };
    }
    let number = HumanCount(state.marks.len() as u64);
    match &state.sum {
        Sum::Known(reclaimed) => {
            let (bytes, blobs) = (exactly(reclaimed.all_bytes()), crate::output::count(reclaimed.blobs, "blob"));
            match reclaimed.blocked.len() {
                0 => format!(" {number} marked: deleting all frees {bytes} in {blobs}"),
                kept => format!(" {number} marked: {kept} cannot be deleted; the rest frees {bytes} in {blobs}"),
            }
        }
        Sum::Failed(error) => format!(" {number} marked: {}", printable(error)),
        Sum::Nothing | Sum::Requested => format!(" {number} marked: computing what deleting all frees"),
    }
}

/// `1.20 KiB (1229 bytes)`.
fn exactly(bytes: u64) -> String {
    if bytes < 1024 { BinaryBytes(bytes).to_string() } else { format!("{} ({bytes} bytes)", BinaryBytes(bytes)) }
}

/// The most important keys.
fn keys(state: &State, width: u16) -> String {
    let changes = if state.terms.read_only { "" } else { "Space mark  d delete  " };
    if width < 70 {
        return format!(" ? help  {changes}q quit");
    }
    format!(" ? help  Enter in  Left back  {changes}/ filter  s order  q quit")
}
