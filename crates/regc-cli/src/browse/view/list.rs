//! The list, in columns.

use std::time::{Duration, SystemTime};

use indicatif::BinaryBytes;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::text::cut;
use super::{Look, line};
use crate::browse::state::{Entry, Marked, Place, State, What};
use crate::output::printable;

/// How wide the columns before the name are, each with what is between it and the next.
const MARK: u16 = 2;
const BYTES: u16 = 12;
const BAR: u16 = 12;
const AGE: u16 = 6;

/// From which width on a window has all columns.
const WIDE: u16 = 70;

pub fn draw(buffer: &mut Buffer, area: Rect, state: &State, doing: &str, look: Look) {
    let columns = Columns { is_wide: area.width >= WIDE };
    heads(buffer, area, state, columns);
    let level = state.level();
    let page = super::page(area.height);
    if level.entries.is_empty() {
        line(buffer, area, 3, &format!("  {}", nothing(state, doing)), Style::default());
        return;
    }
    let largest = level.entries.iter().map(Entry::all).max().unwrap_or(0);
    let shown = level.entries.iter().enumerate().skip(level.top).take(page);
    for (row, (number, entry)) in shown.enumerate() {
        let row = area.y + 2 + row as u16;
        let marked = state.marks.of(&state.store, &entry.what);
        let mut style = Style::default();
        if marked != Marked::No {
            style = look.coloured(style.add_modifier(Modifier::BOLD), Color::Yellow);
        }
        if number == level.cursor {
            style = style.add_modifier(Modifier::REVERSED);
        }
        buffer.set_style(Rect::new(area.x, row, area.width, 1), style);
        columns.entry(buffer, Rect::new(area.x, row, area.width, 1), entry, (marked, largest, state.now), style);
    }
}

/// Why a list is empty.
fn nothing(state: &State, doing: &str) -> String {
    let level = state.level();
    match &level.place {
        _ if !level.filter.is_empty() => "nothing matches the filter".to_owned(),
        _ if !state.store.is_listed => doing.to_owned(),
        Place::Namespace(_) => "the store has no repositories".to_owned(),
        Place::Repository(name) | Place::UntaggedOf(name) if state.store.images(name).is_none() => {
            "reading images".to_owned()
        }
        Place::Repository(_) => "no tags, and no untagged manifests".to_owned(),
        Place::UntaggedOf(_) => "there are no untagged manifests".to_owned(),
        Place::Image { repository, .. } if state.store.images(repository).is_none() => "reading images".to_owned(),
        Place::Image { .. } => "its manifest is missing, or not linked".to_owned(),
        Place::Untagged | Place::Garbage if !state.store.is_measured() => doing.to_owned(),
        Place::Untagged => "there are no untagged manifests".to_owned(),
        Place::Garbage => "there is no garbage".to_owned(),
    }
}

#[derive(Clone, Copy)]
struct Columns {
    is_wide: bool,
}

fn heads(buffer: &mut Buffer, area: Rect, state: &State, columns: Columns) {
    let (exclusive, shared) = match state.level().place {
        Place::Untagged => ("", "UNTAGGED"),
        Place::Garbage => ("GARBAGE", ""),
        _ => ("EXCLUSIVE", "SHARED"),
    };
    let is_narrow_untagged = !columns.is_wide && exclusive.is_empty();
    let exclusive = if is_narrow_untagged { shared } else { exclusive };
    let style = Style::default().add_modifier(Modifier::BOLD);
    let area = Rect::new(area.x, area.y + 1, area.width, 1);
    columns.cells(buffer, area, style, ["", exclusive, shared, "", "AGE", "NAME"]);
}

impl Columns {
    fn entry(
        self,
        buffer: &mut Buffer,
        area: Rect,
        entry: &Entry,
        (marked, largest, now): (Marked, u64, SystemTime),
        style: Style,
    ) {
        let mark = match marked {
            Marked::No => "",
            Marked::Partly => "-",
            Marked::Yes => "*",
        };
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| BinaryBytes(bytes).to_string()).unwrap_or_default();
        let shared = bytes(entry.shared);
        // Where there is one column, it is of what is known.
        let is_other = !self.is_wide && matches!(entry.what, What::Untagged(_));
        let exclusive = if is_other { shared.clone() } else { bytes(entry.exclusive) };
        let age = entry.pushed.map(|pushed| age(pushed, now)).unwrap_or_default();
        let mut name = printable(&entry.name).into_owned();
        if !entry.more.is_empty() {
            name += &format!("  {}", printable(&entry.more));
        }
        let bar = bar(entry, largest, usize::from(BAR) - 3);
        self.cells(buffer, area, style, [mark, &exclusive, &shared, &bar, &age, &name]);
    }

    /// Draws the columns, of which a narrow window has three.
    fn cells(self, buffer: &mut Buffer, area: Rect, style: Style, cells: [&str; 6]) {
        let [mark, exclusive, shared, bar, age, name] = cells;
        let mut x = area.x;
        let mut cell = |text: &str, width: u16, is_number: bool| {
            let width = width.min((area.x + area.width).saturating_sub(x));
            let text = cut(text, usize::from(width.saturating_sub(u16::from(is_number))));
            let text_width = console::measure_text_width(&text) as u16;
            let indent = if is_number { width.saturating_sub(1).saturating_sub(text_width) } else { 0 };
            buffer.set_stringn(x + indent, area.y, &*text, usize::from(width - indent), style);
            x += width;
        };
        cell(mark, MARK, false);
        cell(exclusive, BYTES, true);
        if self.is_wide {
            cell(shared, BYTES, true);
            cell(bar, BAR, false);
            cell(age, AGE, true);
        }
        cell(" ", 1, false);
        cell(name, area.width, false);
    }
}

/// `[###..    ]`, as long as the entry is beside the largest one.
fn bar(entry: &Entry, largest: u64, width: usize) -> String {
    if entry.exclusive.is_none() && entry.shared.is_none() {
        return String::new();
    }
    let part = |bytes: u64| (u128::from(bytes) * width as u128).div_ceil(u128::from(largest.max(1))) as usize;
    let all = part(entry.all());
    let exclusive = part(entry.exclusive.unwrap_or(0)).min(all);
    format!(" [{}{}{}]", "#".repeat(exclusive), ".".repeat(all - exclusive), " ".repeat(width - all))
}

/// `59m`, `47h`, `999d`, `3y`.
fn age(pushed: SystemTime, now: SystemTime) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let age = now.duration_since(pushed).unwrap_or(Duration::ZERO).as_secs();
    match age {
        0..HOUR => format!("{}m", age / MINUTE),
        HOUR..172_800 => format!("{}h", age / HOUR),
        172_800..86_400_000 => format!("{}d", age / DAY),
        _ => format!("{}y", age / (365 * DAY)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        for (seconds, expected) in
            [(0, "0m"), (3_599, "59m"), (3_600, "1h"), (172_799, "47h"), (172_800, "2d"), (86_400_000, "2y")]
        {
            assert_eq!(age(now - Duration::from_secs(seconds), now), expected);
        }
        assert_eq!(age(now + Duration::from_secs(9), now), "0m");
    }
}
