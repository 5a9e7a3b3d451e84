//! Texts that clients chose, in a window: escaped, and no wider than there is room.

use std::borrow::Cow;

use console::measure_text_width;

/// Escapes what a terminal would interpret, and what would make it show something else than what is there: control characters,
/// those that change the direction of a text, and those that are not visible.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let each = text.chars().map(|c| if is_hidden(c) { c.escape_unicode().to_string() } else { c.to_string() });
    Cow::Owned(each.collect())
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// What stands for the part of a text that is left out.
const CUT: &str = "..";

/// Shortens a text at its end.
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if measure_text_width(text) <= width {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut left = width.saturating_sub(CUT.len());
    for character in text.chars() {
        let needed = measure_text_width(character.encode_utf8(&mut [0; 4]));
        if needed > left {
            break;
        }
        left -= needed;
        kept.push(character);
    }
    Cow::Owned(if width < CUT.len() { String::new() } else { kept + CUT })
}

/// Shortens a text at its beginning.
pub fn cut_front(text: &str, width: usize) -> Cow<'_, str> {
    if measure_text_width(text) <= width {
        return Cow::Borrowed(text);
    }
    let reversed: String = text.chars().rev().collect();
    Cow::Owned(cut(&reversed, width).chars().rev().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_escaped() {
        assert_eq!(shown("team/äpp"), "team/äpp");
        assert_eq!(shown("a\u{1b}[2J\u{202e}b\u{200b}"), "a\\u{1b}[2J\\u{202e}b\\u{200b}");
    }

    #[test]
    fn texts_are_as_wide_as_there_is_room() {
        assert_eq!((&*cut("abcdef", 6), &*cut("abcdef", 5), &*cut("abcdef", 1)), ("abcdef", "abc..", ""));
        assert_eq!(cut("漢字漢字", 7), "漢字..");
        assert_eq!(cut("漢字漢字", 5), "漢..");
        assert_eq!(cut_front("/var/lib/registry", 8), "..gistry");
    }
}
