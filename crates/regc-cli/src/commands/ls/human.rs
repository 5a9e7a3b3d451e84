//! What `regc ls` prints for eyes.

use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::ptr;

use indicatif::BinaryBytes;
use regc_core::Digest;
use regc_core::inspect::catalog::{Image, Listing, Problem, Tag, Tree};

use super::Chosen;
use crate::output::table::{Cell, Column, Table};
use crate::process;

/// How digests are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Digests {
    Whole,
    /// Twelve digits, as docker does.
    Short,
}

impl Digests {
    /// Short ones at a terminal. What goes elsewhere may be read by a program.
    pub fn for_eyes() -> Self {
        if io::stdout().is_terminal() { Self::Short } else { Self::Whole }
    }

    pub fn cell(self, digest: &Digest) -> Cell {
        match self {
            Self::Whole => Cell::text(&digest.to_string()),
            Self::Short => Cell::text(&digest.hex()[..12]),
        }
    }
}

/// The columns, of which the first has this title.
fn columns(first: &'static str) -> [Column; 7] {
    [
        Column::text(first).at_least(12),
        Column::text("KIND"),
        Column::text("PLATFORMS").at_least(9),
        Column::number("SIZE"),
        Column::text("CREATED").spare(),
        Column::text("PUSHED").spare(),
        Column::text("DIGEST"),
    ]
}

/// Lists tags below their repositories, with what is in them and attached to them.
pub fn grouped(chosen: &[Chosen<'_>], digests: Digests) -> Table {
    let mut table = Table::new(&columns("TAG"));
    for of_one in chosen.chunk_by(|(one, _), (other, _)| ptr::eq(*one, *other)) {
        let mut shown = HashSet::new();
        for (at, (listing, tag)) in of_one.iter().enumerate() {
            if at == 0 {
                table.title(&listing.repository);
            }
            let Some(tag) = tag else { continue };
            row(&mut table, &format!("  {}", tag.name), tag, digests);
            if let Some(image) = &tag.image {
                below(&mut table, listing, image.digest, &mut shown, digests);
            }
        }
    }
    table
}

/// Lists tags of any repositories, with their whole names.
pub fn flat(chosen: &[Chosen<'_>], digests: Digests) -> Table {
    let mut table = Table::new(&columns("IMAGE"));
    for (listing, tag) in chosen.iter().filter_map(|(listing, tag)| Some((listing, (*tag)?))) {
        row(&mut table, &format!("{}:{}", listing.repository, tag.name), tag, digests);
    }
    table
}

/// Lists the manifests that no tag reaches.
pub fn untagged(listings: &[Listing], digests: Digests) -> Table {
    let mut table = Table::new(&columns("")[1..]);
    for listing in listings.iter().filter(|listing| !listing.untagged.is_empty()) {
        table.title(&listing.repository);
        for untagged in &listing.untagged {
            let mut cells = cells("", &untagged.image, Some(process::time(untagged.pushed)), digests);
            cells[1] = Cell::text(&format!("  {}", untagged.image.kind.name()));
            table.row(cells.split_off(1));
        }
    }
    table
}

/// Adds a tag, and why it cannot be pulled, if it cannot.
fn row(table: &mut Table, name: &str, tag: &Tag, digests: Digests) {
    match (&tag.image, tag.digest) {
        (Some(image), _) => table.row(cells(name, image, Some(process::time(tag.pushed)), digests)),
        (None, found) => {
            let kind = Cell::text(if found.is_some() { "missing" } else { "garbled" });
            let digest = found.map_or_else(Cell::empty, |digest| digests.cell(&digest));
            table.row(vec![Cell::text(name), kind, Cell::empty(), Cell::empty(), Cell::empty(), Cell::empty(), digest]);
        }
    }
    if let Some(Problem { kind, digest }) = &tag.problem {
        let digest = digest.map_or_else(String::new, |digest| format!(": {digest}"));
        table.text(&format!("    {}: {}{digest}", kind.code(), kind.page().title));
    }
}

fn cells(name: &str, image: &Image, pushed: Option<String>, digests: Digests) -> Vec<Cell> {
    let created: String = image.created.iter().flat_map(|created| created.chars().take(10)).collect();
    vec![
        Cell::text(name),
        Cell::text(image.kind.name()),
        Cell::text(&image.platforms.join(",")),
        image.bytes.map_or_else(Cell::empty, |bytes| Cell::bytes(BinaryBytes(bytes))),
        Cell::text(&created),
        Cell::text(&pushed.unwrap_or_default()),
        digests.cell(&image.digest),
    ]
}

/// The deepest indentation. Without a limit, each line of a long chain would be longer than the one before it.
const DEEPEST: usize = 12;

/// Adds the children and referrers of an image, unless they are shown above.
fn below(table: &mut Table, listing: &Listing, top: Digest, shown: &mut HashSet<Digest>, digests: Digests) {
    let mut pending: Vec<(usize, &str, Digest)> = Vec::new();
    let mut next = Some((1, "", top));
    while let Some((depth, what, digest)) = next {
        if let Some(Tree { image, children, referrers, .. }) = listing.trees.get(&digest) {
            let is_new = shown.insert(digest);
            let leads_on = !children.is_empty() || !referrers.is_empty();
            if depth > 1 {
                let above = if !is_new && leads_on { ", shown above" } else { "" };
                let name = format!("{:indent$}{what}{above}", "", indent = depth.min(DEEPEST) * 2);
                table.row(cells(&name, image, None, digests));
            } else if !is_new && leads_on {
                table.text("    shown above");
            }
            if is_new {
                // In reverse order, since the last is popped first.
                pending.extend(referrers.iter().rev().map(|digest| (depth + 1, "attached", *digest)));
                pending.extend(children.iter().rev().map(|digest| (depth + 1, "contains", *digest)));
            }
        }
        next = pending.pop();
    }
}
