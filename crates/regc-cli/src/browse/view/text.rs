//! Texts in a window, no wider than there is room.

use std::borrow::Cow;

use console::measure_text_width;

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
    fn texts_are_as_wide_as_there_is_room() {
        assert_eq!((&*cut("abcdef", 6), &*cut("abcdef", 5), &*cut("abcdef", 1)), ("abcdef", "abc..", ""));
        assert_eq!(cut("漢字漢字", 7), "漢字..");
        assert_eq!(cut("漢字漢字", 5), "漢..");
        assert_eq!(cut_front("/var/lib/registry", 8), "..gistry");
    }
}
