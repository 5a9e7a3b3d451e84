//! Tables: columns as wide as what is in them, and lines no longer than the terminal is wide.

use std::borrow::Cow;
use std::io::{self, IsTerminal};

use console::{Alignment, Term, measure_text_width, pad_str, style, truncate_str};

use super::{Output, printable};

/// A column.
#[derive(Clone, Copy)]
pub struct Column {
    title: &'static str,
    alignment: Alignment,
    /// To how many characters it may be shortened.
    least: Option<usize>,
    /// Whether it is left out where the line is too long.
    spare: bool,
}

impl Column {
    /// A column of texts.
    pub const fn text(title: &'static str) -> Self {
        Self { title, alignment: Alignment::Left, least: None, spare: false }
    }

    /// A column of numbers.
    pub const fn number(title: &'static str) -> Self {
        Self { alignment: Alignment::Right, ..Self::text(title) }
    }

    /// The same column, which may be shortened to that many characters.
    pub const fn at_least(self, least: usize) -> Self {
        Self { least: Some(least), ..self }
    }

    /// The same column, which is left out where the line is too long.
    pub const fn spare(self) -> Self {
        Self { spare: true, ..self }
    }
}

/// What stands in a column of a line.
pub struct Cell {
    text: String,
    is_bold: bool,
}

impl Cell {
    /// A text, of which control characters are escaped.
    pub fn text(text: &str) -> Self {
        Self { text: printable(text).into_owned(), is_bold: false }
    }

    /// Bytes, which stand out.
    pub fn bytes(text: impl ToString) -> Self {
        Self { text: text.to_string(), is_bold: true }
    }

    /// Nothing.
    pub fn empty() -> Self {
        Self::text("")
    }
}

enum Line {
    Cells(Vec<Cell>),
    Title(String),
    Text(String),
}

/// A table, which is printed when it is complete.
pub struct Table {
    columns: Vec<Column>,
    lines: Vec<Line>,
}

/// How wide a column becomes at most. An index may have thousands of platforms, for which the other lines are not padded.
const WIDEST: usize = 80;

/// What is between two columns.
const GAP: usize = 2;

impl Table {
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), lines: Vec::new() }
    }

    /// Adds a line with a cell for each column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.lines.push(Line::Cells(cells));
    }

    /// Adds the title of the lines that follow.
    pub fn title(&mut self, title: &str) {
        self.lines.push(Line::Title(printable(title).into_owned()));
    }

    /// Adds a text across all columns.
    pub fn text(&mut self, text: &str) {
        self.lines.push(Line::Text(printable(text).into_owned()));
    }

    /// Prints the table below the titles of its columns, if there is anything in it. At a terminal, it is as wide as that.
    pub fn print(self, output: &mut Output) {
        if self.lines.is_empty() {
            return;
        }
        let limit = io::stdout().is_terminal().then(|| usize::from(Term::stdout().size().1));
        let widths = self.widths(limit);
        let titles: Vec<Cell> = self.columns.iter().map(|column| Cell::text(column.title)).collect();
        output.line(format_args!("{}", style(self.joined(&titles, &widths, limit.is_some())).dim()));
        for line in &self.lines {
            match line {
                Line::Cells(cells) => output.line(format_args!("{}", self.joined(cells, &widths, limit.is_some()))),
                Line::Title(title) => output.line(format_args!("{}", style(title).bold())),
                Line::Text(text) => output.line(format_args!("{text}")),
            }
        }
    }

    /// Returns how wide each column is; `None` for one that is left out.
    fn widths(&self, limit: Option<usize>) -> Vec<Option<usize>> {
        let rows =
            || self.lines.iter().filter_map(|line| if let Line::Cells(cells) = line { Some(cells) } else { None });
        let widest = |(at, column): (usize, &Column)| {
            let widest = rows().map(|cells| measure_text_width(&cells[at].text)).max().unwrap_or(0);
            // A column without content has no title either.
            (widest > 0).then(|| widest.max(column.title.len()).min(WIDEST))
        };
        let mut widths: Vec<Option<usize>> = self.columns.iter().enumerate().map(widest).collect();
        let Some(limit) = limit else { return widths };
        let excess = |widths: &[Option<usize>]| {
            let total: usize = widths.iter().flatten().map(|width| width + GAP).sum();
            total.saturating_sub(GAP).saturating_sub(limit)
        };
        let least = |widths: &[Option<usize>]| -> Vec<Option<usize>> {
            let shortened = |(width, column): (&Option<usize>, &Column)| {
                width.map(|width| column.least.map_or(width, |least| width.min(least.max(column.title.len()))))
            };
            widths.iter().zip(&self.columns).map(shortened).collect()
        };
        for at in (0..widths.len()).rev().filter(|at| self.columns[*at].spare) {
            if excess(&least(&widths)) > 0 {
                widths[at] = None;
            }
        }
        let least = least(&widths);
        while excess(&widths) > 0 {
            // The widest of those that can be shortened.
            let shortened =
                widths.iter_mut().zip(&least).filter(|(width, least)| **width > **least).map(|(width, _)| width);
            let Some(widest) = shortened.max().and_then(Option::as_mut) else { break };
            *widest -= 1;
        }
        widths
    }

    /// Joins the cells of a line. Only if lines `is_limited` in length, texts that are too long are shortened.
    fn joined(&self, cells: &[Cell], widths: &[Option<usize>], is_limited: bool) -> String {
        let mut line = String::new();
        for ((cell, width), column) in cells.iter().zip(widths).zip(&self.columns) {
            let Some(width) = width else { continue };
            let text = if is_limited { truncate_str(&cell.text, *width, "…") } else { Cow::from(&cell.text) };
            let text = pad_str(&text, *width, column.alignment, None);
            line += &if cell.is_bold { style(text).bold().to_string() } else { text.into_owned() };
            line += &" ".repeat(GAP);
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::text("NAME").at_least(6),
        Column::number("SIZE"),
        Column::text("TIME").spare(),
        Column::text("ID").at_least(8),
    ];

    fn table() -> Table {
        let mut table = Table::new(&COLUMNS);
        for name in ["a", "a name that is long"] {
            table.row(vec![
                Cell::text(name),
                Cell::bytes("1.00 KiB"),
                Cell::text("2026-01-01"),
                Cell::text("0123456789ab"),
            ]);
        }
        table
    }

    fn lines(table: &Table, limit: Option<usize>) -> Vec<String> {
        let widths = table.widths(limit);
        let lines = table.lines.iter();
        lines
            .map(|line| {
                if let Line::Cells(cells) = line {
                    table.joined(cells, &widths, limit.is_some())
                } else {
                    String::new()
                }
            })
            .collect()
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let lines = lines(&table(), None);
        assert_eq!(lines[0], "a                    1.00 KiB  2026-01-01  0123456789ab");
        assert_eq!(lines[1], "a name that is long  1.00 KiB  2026-01-01  0123456789ab");
    }

    #[test]
    fn lines_are_no_longer_than_the_terminal_is_wide() {
        for limit in 26..60 {
            let longest = lines(&table(), Some(limit)).iter().map(|line| measure_text_width(line)).max().unwrap();
            assert!(longest <= limit && longest >= limit.min(43) - 5, "{limit}: {longest}");
        }
        assert_eq!(lines(&table(), Some(40))[1], "a name …  1.00 KiB  2026-01-01  0123456…");
        assert_eq!(lines(&table(), Some(37))[1], "a name that …  1.00 KiB  0123456789ab");
    }

    #[test]
    fn what_a_client_chose_is_escaped() {
        let mut table = Table::new(&COLUMNS[..1]);
        table.row(vec![Cell::text("\u{1b}[2J")]);
        assert_eq!(lines(&table, None), ["\\u{1b}[2J"]);
    }

    #[test]
    fn other_lines_are_not_padded_for_one_that_is_very_long() {
        let mut table = table();
        let long = "long ".repeat(100);
        table.row(vec![Cell::text(&long), Cell::bytes("2 B"), Cell::empty(), Cell::text("id")]);
        let lines = lines(&table, None);
        assert!(lines[0].len() < 130 && lines[2].starts_with(&long) && lines[2].len() < 550, "{lines:?}");
    }

    #[test]
    fn columns_without_content_are_left_out() {
        let mut table = Table::new(&COLUMNS);
        table.row(vec![Cell::text("a"), Cell::empty(), Cell::empty(), Cell::text("id")]);
        assert_eq!(lines(&table, None), ["a     id"]);
    }
}
