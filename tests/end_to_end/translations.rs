//! The Chinese pages match the English ones: the same code, headings, tables and links.

use std::collections::BTreeSet;
use std::path::Path;

use crate::book::{Line, lines, links, pages};

/// The pages that are translated, each with its translation.
pub const TRANSLATIONS: [(&str, &str); 5] = [
    ("README.md", "README.zh-CN.md"),
    ("docs/faq.md", "docs/zh-CN/faq.md"),
    ("docs/first-run.md", "docs/zh-CN/first-run.md"),
    ("docs/install.md", "docs/zh-CN/install.md"),
    ("docs/runbooks.md", "docs/zh-CN/runbooks.md"),
];

fn prose(page: &str) -> Vec<&str> {
    let prose = lines(page).into_iter().filter_map(|line| match line {
        Line::Prose(line) => Some(line),
        Line::Code(..) => None,
    });
    prose.collect()
}

/// Returns the blocks of code of a page, each line with its language.
fn blocks(page: &str) -> Vec<Vec<(&str, &str)>> {
    let mut blocks = vec![Vec::new()];
    for line in lines(page) {
        match line {
            Line::Code(language, line) => blocks.last_mut().unwrap().push((language, line)),
            Line::Prose(_) => blocks.push(Vec::new()),
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// Returns the commands, options and paths that prose names.
fn names(page: &str) -> BTreeSet<String> {
    prose(page).join(" ").split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn heading_levels(page: &str) -> Vec<usize> {
    let marks = prose(page).into_iter().filter_map(|line| line.split_once(' ')).map(|(marks, _)| marks);
    marks.filter(|marks| marks.starts_with('#')).map(str::len).collect()
}

/// Returns how many rows each table has, in order.
fn rows_of_tables(page: &str) -> Vec<usize> {
    let prose = prose(page);
    prose
        .chunk_by(|line, next| line.starts_with('|') && next.starts_with('|'))
        .map(<[&str]>::len)
        .filter(|rows| *rows > 1)
        .collect()
}

/// Returns the files to which a page links, by their paths below the project's directory, without its own translation or original.
fn linked_files(path: &str, page: &str) -> Vec<String> {
    let project = crate::project().canonicalize().unwrap();
    let file = |link: String| {
        let file = link.split('#').next().unwrap();
        let target =
            if file.is_empty() { Path::new(path).to_owned() } else { Path::new(path).parent().unwrap().join(file) };
        let target = project.join(target).canonicalize().unwrap_or_else(|_| panic!("{path}: {link} leads to no file"));
        target.strip_prefix(&project).unwrap().to_str().unwrap().to_owned()
    };
    let is_translation =
        |target: &str| TRANSLATIONS.contains(&(path, target)) || TRANSLATIONS.contains(&(target, path));
    let mut files: Vec<String> = links(page).into_iter().map(file).filter(|target| !is_translation(target)).collect();
    files.sort();
    files
}

#[test]
fn translations_have_the_code_of_their_originals() {
    let pages = pages();
    for (original, translation) in TRANSLATIONS {
        let (english, chinese) = (&pages[original], &pages[translation]);
        for (block, expected) in blocks(chinese).into_iter().zip(blocks(english)) {
            assert_eq!(block, expected, "{translation} has other code than {original}");
        }
        assert_eq!(
            blocks(chinese).len(),
            blocks(english).len(),
            "{translation} has other blocks of code than {original}"
        );
        assert_eq!(names(chinese), names(english), "{translation} names other code than {original}");
    }
}

#[test]
fn translations_have_the_headings_and_tables_of_their_originals() {
    let pages = pages();
    for (original, translation) in TRANSLATIONS {
        let (english, chinese) = (&pages[original], &pages[translation]);
        assert_eq!(
            heading_levels(chinese),
            heading_levels(english),
            "{translation} has other headings than {original}"
        );
        assert_eq!(rows_of_tables(chinese), rows_of_tables(english), "{translation} has other tables than {original}");
    }
}

#[test]
fn translations_link_to_translations() {
    let pages = pages();
    for (original, translation) in TRANSLATIONS {
        let translated = |file: String| {
            let known = TRANSLATIONS.into_iter().find(|(original, _)| *original == file);
            known.map_or(file, |(_, translation)| translation.to_owned())
        };
        let mut expected: Vec<String> = linked_files(original, &pages[original]).into_iter().map(translated).collect();
        expected.sort();
        assert_eq!(
            linked_files(translation, &pages[translation]),
            expected,
            "{translation} has other links than {original}"
        );
    }
    for (page, other) in [("README.md", "README.zh-CN.md"), ("README.zh-CN.md", "README.md")] {
        assert!(links(&pages[page]).iter().any(|link| link == other), "{page} does not link to {other}");
    }
}
