//! What is shown above the list, in a frame of plain characters.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::browse::state::{Dialog, State};
use crate::output::printable;

/// How wide a text becomes.
const WIDEST: u16 = 90;

pub fn draw(buffer: &mut Buffer, area: Rect, dialog: &Dialog, state: &State, doing: &str) {
    let (title, mut lines) = dialog.text(state.terms.deletes);
    if matches!(dialog, Dialog::Planning | Dialog::Removing) {
        lines.insert(1, doing.to_owned());
    }
    let room = usize::from(area.width.min(WIDEST).saturating_sub(4)).max(1);
    let lines: Vec<String> = lines.iter().flat_map(|line| wrapped(&printable(line), room)).collect();
    let widest = lines.iter().map(|line| console::measure_text_width(line)).max().unwrap_or(0);
    let width = (widest.max(title.len() + 4).min(room) + 4) as u16;
    let height = (lines.len() as u16 + 2).min(area.height);
    let page = usize::from(height - 2);
    let last = lines.len().saturating_sub(page);
    let top = dialog.first_line().min(last);
    let (left, above) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    let inside = usize::from(width - 2);
    let style = Style::default();
    let edge = |title: &str| format!("+{title:-<inside$}+");
    let more = if top < last { " Down: more -" } else { "" };
    for row in 0..height {
        let text = match row {
            0 => edge(&format!("- {title} ")),
            _ if row + 1 == height => edge(more),
            _ => {
                let line = lines.get(top + usize::from(row) - 1).map_or("", String::as_str);
                let rest = inside.saturating_sub(2 + console::measure_text_width(line));
                format!("| {line}{} |", " ".repeat(rest))
            }
        };
        let row = Rect::new(left, above + row, width, 1);
        // Of a wide character, no half is left beside the frame.
        if row.x > area.x && console::measure_text_width(buffer[(row.x - 1, row.y)].symbol()) > 1 {
            buffer[(row.x - 1, row.y)].set_symbol(" ");
        }
        for x in row.x..row.x + row.width {
            buffer[(x, row.y)].reset();
        }
        let style = if row.y == above { style.add_modifier(Modifier::BOLD) } else { style };
        buffer.set_stringn(row.x, row.y, text, usize::from(width), style);
    }
}

/// Breaks a line between words, and words that are too long anywhere.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    if console::measure_text_width(line) <= width {
        return vec![line.to_owned()];
    }
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in line.split_inclusive(' ') {
        let needed = console::measure_text_width(word.trim_end());
        if used > 0 && used + needed > width {
            lines.push(String::new());
            used = 0;
        }
        for character in word.chars() {
            let needed = console::measure_text_width(character.encode_utf8(&mut [0; 4]));
            if used + needed > width {
                // The space after the last word of a line.
                if character == ' ' {
                    continue;
                }
                lines.push(String::new());
                used = 0;
            }
            used += needed;
            lines.last_mut().expect("there is one").push(character);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 8), ["one two ", "three"]);
        assert_eq!(wrapped("sha256:0123456789", 8), ["sha256:0", "12345678", "9"]);
        assert_eq!(wrapped("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
