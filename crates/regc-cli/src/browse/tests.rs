//! The window without a terminal: what keys make of it, over a store in a directory.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, SystemTime};

use expect_test::{Expect, expect};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use regc_core::registry::layout;
use regc_core::{Disposal, Holder, Store};
use regc_testkit::TestRegistry;

use super::message::{Message, Named, NamedTag, Request};
use super::state::{Dialog, Reaction, State, Sum};
use super::view::{self, Look};
use super::worker::{Progress, Stop, Terms, Worker};
use super::{Ends, Shown};
use crate::commands::store::{Opened, Opening};
use crate::source;

/// A window over a store, whose threads have always answered.
struct Browsed<'a> {
    state: State,
    requests: Sender<Request>,
    images: Sender<String>,
    received: &'a Receiver<Message>,
    size: (u16, u16),
}

const SHOWN: &str = "/srv/registry";

fn shown() -> Shown {
    Shown { place: SHOWN.to_owned(), read_only: false, deletes: false }
}

/// Opens a window over a store.
fn browse(root: &Path, shown: Shown, look_around: impl FnOnce(&mut Browsed<'_>)) {
    let opening =
        Opening { dry_run: false, live: false, quiet: true, allow_empty: false, jobs: Some(4), manifest_cache: None };
    let found = source::find(None, Some(root.to_owned())).unwrap();
    let opened = Opened::to_read(found, opening).unwrap();
    let disposal = if shown.deletes { Disposal::Delete } else { Disposal::Trash };
    let terms = Terms { disposal, store: format!("--root {SHOWN}"), root: PathBuf::from(SHOWN) };
    let (progress, stop) = (Progress::default(), Stop::default());
    let (messages, received) = mpsc::channel();
    let (requests, requested) = mpsc::channel();
    let (images, of_images) = mpsc::channel();
    let worker = Worker::new(&opened, terms, &progress, &stop, messages);
    thread::scope(|scope| {
        let worker = &worker;
        scope.spawn(move || worker.answer(&requested));
        scope.spawn(move || worker.list_images(&of_images));
        let _ends = Ends { stop: &stop };
        let state = State::new(shown, SystemTime::now());
        let mut browsed = Browsed { state, requests, images, received: &received, size: (80, 24) };
        browsed.settle(2);
        look_around(&mut browsed);
    });
}

impl Browsed<'_> {
    /// Waits for so many answers, and for what those lead to.
    fn settle(&mut self, mut expected: usize) {
        loop {
            while expected > 0 {
                let message = self.received.recv_timeout(Duration::from_secs(60)).expect("the threads answer");
                // Then the store is read again.
                expected += if matches!(message, Message::Removed(_)) { 2 } else { 0 };
                let reaction = self.state.receive(message);
                expected += self.pass_on(reaction);
                expected -= 1;
            }
            let reaction = self.state.tick();
            expected = self.pass_on(reaction);
            if expected == 0 {
                break;
            }
        }
    }

    /// Passes on what is requested, and returns how many answers there will be.
    fn pass_on(&mut self, reaction: Reaction) -> usize {
        let mut answers = 0;
        for request in reaction.requests {
            answers += usize::from(!matches!(request, Request::Answer(false)));
            match request {
                Request::Images(repository) => self.images.send(repository).unwrap(),
                request => self.requests.send(request).unwrap(),
            }
        }
        answers
    }

    fn press(&mut self, code: KeyCode) {
        let page = view::page(self.size.1);
        self.state.resize(page);
        let reaction = self.state.key(KeyEvent::new(code, KeyModifiers::NONE));
        let answers = self.pass_on(reaction);
        self.settle(answers);
    }

    /// Presses the keys of a text: ` ` marks, `>` goes in, `<` goes back, `_` goes down.
    fn keys(&mut self, keys: &str) {
        for key in keys.chars() {
            self.press(match key {
                '>' => KeyCode::Enter,
                '<' => KeyCode::Left,
                '_' => KeyCode::Down,
                key => KeyCode::Char(key),
            });
        }
    }

    fn shows(&mut self, expected: Expect) {
        expected.assert_eq(&screen(&mut self.state, self.size));
    }
}

/// Returns what a window of this size shows.
fn screen(state: &mut State, size: (u16, u16)) -> String {
    let buffer = drawn(state, size, Look { has_colours: false });
    let mut text = String::new();
    for row in 0..size.1 {
        let mut line = String::new();
        let mut skipped = 0;
        for column in 0..size.0 {
            let symbol = buffer[(column, row)].symbol();
            if skipped == 0 {
                line += symbol;
                skipped = console::measure_text_width(symbol).max(1);
            }
            skipped -= 1;
        }
        text += &format!("|{line}|\n");
    }
    text
}

fn drawn(state: &mut State, (columns, rows): (u16, u16), look: Look) -> ratatui::buffer::Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    state.resize(view::page(rows));
    terminal.draw(|frame| view::draw(frame, state, "listing repositories, 3", look)).unwrap();
    terminal.backend().buffer().clone()
}

/// Two teams that share a base, an index with an image for each of two platforms, a signature, and what no tag reaches.
fn registry() -> TestRegistry {
    let mut registry = TestRegistry::new();
    registry.image("team/app:v1").layers(["base", "one"]).push();
    registry.image("team/app:v2").layers(["base", "two"]).push();
    registry.image("team/app").layers(["base", "untagged"]).push();
    let one = registry.image("team/tools").layers(["base", "for one"]).push();
    let other = registry.image("team/tools").layers(["base", "for the other"]).push();
    let index = registry.index("team/tools:all").manifests([one, other]).push();
    registry.image("team/tools").layers(["signature"]).subject(index).push();
    registry.image("other:v1").layers(["base"]).push();
    let gone = registry.image("other:v0").layers(["gone"]).push();
    registry.delete("other", &gone);
    registry
}

#[test]
fn a_window_shows_what_is_known_so_far() {
    let mut state = State::new(shown(), SystemTime::now());
    expect![[r#"
        | regc browse  /srv/registry                                             by size |
        |    EXCLUSIVE      SHARED               AGE  NAME                               |
        |                                                                                |
        |  listing repositories, 3                                                       |
        |                                                                                |
        |                                                                                |
        |                                                                                |
        | listing repositories, 3                                                        |
        | nothing is marked                                                              |
        | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
    "#]]
    .assert_eq(&screen(&mut state, (80, 10)));
    let tags = vec![NamedTag { name: "v1".to_owned(), digest: None, pushed: state.now - Duration::from_secs(7_200) }];
    drop(state.receive(Message::Names(vec![Named { repository: "team/app".to_owned(), tags }])));
    expect![[r#"
        | regc browse  /srv/registry                                             by size |
        |    EXCLUSIVE      SHARED               AGE  NAME                               |
        |                                         2h  team/                              |
        |                                                                                |
        |                                                                                |
        |                                                                                |
        |                                                                                |
        | listing repositories, 3                                                        |
        | nothing is marked                                                              |
        | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
    "#]]
    .assert_eq(&screen(&mut state, (80, 10)));
}

#[test]
fn repositories_are_walked_into_as_far_as_their_layers() {
    let root = registry().on_disk();
    browse(root.path(), shown(), |window| {
        window.size = (80, 12);
        window.shows(expect![[r#"
            | regc browse  /srv/registry                                             by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |     4.18 KiB        11 B  [#########]   0m  team/                              |
            |        454 B        11 B  [#        ]   0m  other                              |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            | deleting this frees 4.18 KiB in 19 blobs                                       |
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys(">");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  team/                                      by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |     2.34 KiB        11 B  [#########]   0m  tools                              |
            |     1.83 KiB        11 B  [######## ]   0m  app                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            | deleting this frees 2.34 KiB in 10 blobs                                       |
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys(">");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  team/tools                                 by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |     2.34 KiB         0 B  [#########]   0m  all                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            | deleting this frees 2.34 KiB in 10 blobs                                       |
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys("<_>");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  team/app                                   by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |        623 B        11 B  [#########]   0m  v1                                 |
            |        623 B        11 B  [#########]   0m  v2                                 |
            |        633 B        11 B  [#########]   0m  (image) sha256:09bec761ca8a  unta..|
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            | deleting this frees 623 B in 3 blobs                                           |
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys(">");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  team/app:v1                                by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |         61 B              [#########]       config  sha256:1c3ab020c859        |
            |         10 B              [##       ]       layer  sha256:28791cd36832         |
            |          0 B        11 B  [..       ]       layer  sha256:2a2d0b861c2f  in 3 ..|
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            | 4.63 KiB in use, 465 B garbage                                                 |
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys(">");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  team/app:v1                                by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |         61 B              [#########]       config  sha256:1c3ab020c859        |
            |         10 B              [##       ]       layer  sha256:28791cd36832         |
            |          0 B        11 B  [..       ]       layer  sha256:2a2d0b861c2f  in 3 ..|
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            | 4.63 KiB in use, 465 B garbage                                                 |
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys("<<<<<<");
        assert_eq!(window.state.levels.len(), 1, "it ends where it began");
    });
}

#[test]
fn a_narrow_window_has_fewer_columns() {
    let root = registry().on_disk();
    browse(root.path(), shown(), |window| {
        window.size = (40, 12);
        window.keys(">> ");
        window.shows(expect![[r#"
            |..e  /srv/registry  team/tools  by size |
            |    EXCLUSIVE  NAME                     |
            |*    2.34 KiB  all                      |
            |                                        |
            |                                        |
            |                                        |
            |                                        |
            |                                        |
            |                                        |
            | deleting this frees 2.34 KiB in 10 bl..|
            | 1 marked: deleting all frees 2.34 KiB..|
            | ? help  Space mark  d delete  q quit   |
        "#]]);
        window.keys("?");
        window.shows(expect![[r#"
            |+- Keys -------------------------------+|
            || Up Down PgUp PgDn Home End   move    ||
            || (also k j)                           ||
            || Enter Right l                open    ||
            || Left Backspace h             go back ||
            || /                            filter; ||
            || Enter keeps it, Esc clears it        ||
            || s                            sort by ||
            || size, name, age in turn              ||
            || n a                          sort by ||
            || name, by age; again: reverse         ||
            |+ Down: more --------------------------+|
        "#]]);
        window.size = (19, 4);
        assert!(screen(&mut window.state, window.size).contains("the terminal is"));
    });
}

#[test]
fn marks_are_summed_up_across_repositories() {
    let root = registry().on_disk();
    browse(root.path(), shown(), |window| {
        let freed = |window: &Browsed<'_>| match &window.state.sum {
            Sum::Known(reclaimed) => reclaimed.all_bytes(),
            other => panic!("{other:?}"),
        };
        // The base goes with the last of those that need it.
        let base = regc_testkit::layer_content("base").len() as u64;
        window.keys(" ");
        let (team, other) = (freed(window), {
            window.keys("u ");
            freed(window)
        });
        window.press(KeyCode::Home);
        window.keys(" ");
        assert_eq!(freed(window), team + other + base);
        window.size = (80, 12);
        window.shows(expect![[r#"
            | regc browse  /srv/registry                                             by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |*    4.18 KiB        11 B  [#########]   0m  team/                              |
            |*       454 B        11 B  [#        ]   0m  other                              |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            | deleting this frees 919 B in 5 blobs                                           |
            | 3 marked: deleting all frees 5.09 KiB (5210 bytes) in 25 blobs                 |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys(">>");
        window.keys(" ");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  other:v1                                   by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |         55 B              [#########]       config  sha256:bb42c8df6c2c        |
            |          0 B        11 B  [..       ]       layer  sha256:2a2d0b861c2f  in 3 ..|
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            |                                                                                |
            | layers and configs are deleted with the images that need them                  |
            | 3 marked: deleting all frees 5.09 KiB (5210 bytes) in 25 blobs                 |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys("u");
        assert!(window.state.marks.is_empty() && matches!(window.state.sum, Sum::Nothing));
    });
}

#[test]
fn entries_are_ordered_and_filtered() {
    let root = registry().on_disk();
    browse(root.path(), shown(), |window| {
        let names = |window: &Browsed<'_>| -> Vec<String> {
            window.state.level().entries.iter().map(|entry| entry.name.clone()).collect()
        };
        assert_eq!(names(window), ["team/", "other"]);
        window.keys("n");
        assert_eq!(names(window), ["other", "team/"]);
        window.keys("n");
        assert_eq!(names(window), ["team/", "other"], "the other way round");
        window.keys("s");
        window.keys("/TOO");
        assert_eq!(names(window), ["team/tools"], "at any depth, in any case");
        window.size = (80, 8);
        window.shows(expect![[r#"
            | regc browse  /srv/registry                                              by age |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |     2.34 KiB        11 B  [#########]   0m  team/tools                         |
            |                                                                                |
            |                                                                                |
            | filter: TOO_                                                                   |
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys(">>");
        assert_eq!(names(window).len(), 1, "Enter ends the filter and then goes in: {:?}", names(window));
        window.keys("<");
        window.press(KeyCode::Esc);
        assert_eq!(names(window).len(), 2);
    });
}

#[test]
fn garbage_and_what_no_tag_reaches_are_listed() {
    let root = registry().on_disk();
    browse(root.path(), shown(), |window| {
        window.size = (80, 8);
        window.keys("g");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  garbage                                    by size |
            |      GARBAGE                           AGE  NAME                               |
            |        465 B              [#########]       other                              |
            |                                                                                |
            |                                                                                |
            | `regc gc` deletes garbage                                                      |
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys(" ");
        assert_eq!(window.state.note.as_deref(), Some("`regc gc` deletes garbage"));
        window.keys("gm");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  untagged manifests                         by size |
            |                 UNTAGGED               AGE  NAME                               |
            |                    633 B  [.........]   0m  team/app                           |
            |                                                                                |
            |                                                                                |
            | 4.63 KiB in use, 465 B garbage                                                 |
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys(">");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  team/app, untagged                         by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |        633 B        11 B  [#########]   0m  (image) sha256:09bec761ca8a  unta..|
            |                                                                                |
            |                                                                                |
            | deleting this frees 633 B in 3 blobs                                           |
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys(" ");
        assert_eq!(window.state.marks.len(), 1);
    });
}

#[test]
fn images_are_described() {
    let root = registry().on_disk();
    browse(root.path(), shown(), |window| {
        window.keys("/tools>>>i");
        window.size = (80, 16);
        window.shows(expect![[r#"
            | regc browse  /srv/registry  team/tools:all                             by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |          0 B       654 B  [.........]       linux/amd64  sha256:5e36d65185c8   |
            |  +- Information -----------------------------------------------------------+   |
            |  | team/tools@sha256:5e36d65185c8                                          |c..|
            |  |                                                                         |   |
            |  | digest                                                                  |   |
            |  | sha256:5e36d65185c846b27353c3eb057b125f892c7aa8ad40059e8a49ecfa751a8397 |   |
            |  | kind       image                                                        |   |
            |  | platforms  linux/amd64                                                  |   |
            |  | bytes      654 B, 654 bytes                                             |   |
            |  | layers     2                                                            |   |
            |  +-------------------------------------------------------------------------+   |
            | this cannot be deleted by itself: it is part of the index sha256:7f421f6f2174..|
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys("x");
        assert!(window.state.dialog.is_none());
    });
}

#[test]
fn a_deletion_is_asked_for_and_can_be_undone() {
    let root = registry().on_disk();
    browse(root.path(), shown(), |window| {
        window.size = (80, 16);
        window.keys("n>");
        window.keys(" d");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  other                                      by name |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |*       454 B        11 B  [#########]   0m  v1                                 |
            |                                                                                |
            |+- Deletion -------------------------------------------------------------------+|
            || This removes 454 B in 2 blobs, 1 tag, 1 manifest, 2 layer links, 1 tag index ||
            || entry.                                                                       ||
            ||                                                                              ||
            || Move this, 454 B in 2 blobs, to the trash of /srv/registry? [y/N]            ||
            ||                                                                              ||
            || other:v1                                                                     ||
            |+------------------------------------------------------------------------------+|
            |                                                                                |
            | deleting this frees 454 B in 2 blobs                                           |
            | 1 marked: deleting all frees 454 B in 2 blobs                                  |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys("x");
        assert!(window.state.dialog.is_none() && root.path().join(layout::tag_link("other", "v1")).exists());
        // The threads have let the store go when they answer something else.
        window.keys("d");
        window.keys("y");
        let Some(Dialog::Done { removed, .. }) = &window.state.dialog else { panic!("{:?}", window.state.dialog) };
        let undo = removed.undo.clone().unwrap();
        let run = undo.strip_prefix("regc trash restore --root /srv/registry ").unwrap();
        assert!(removed.notes.is_empty() && !removed.failed, "{removed:?}");
        assert!(!root.path().join(layout::tag_link("other", "v1")).exists());
        assert!(root.path().join(".regc/trash").join(run).exists());
        window.keys("x");
        assert!(window.state.marks.is_empty() && window.state.level().entries.is_empty());
    });
}

#[test]
fn what_is_in_the_way_is_named_and_nothing_is_deleted() {
    let root = registry().on_disk();
    browse(root.path(), shown(), |window| {
        window.size = (80, 16);
        window.keys("/tools>>> d");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  team/tools:all                             by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |*         0 B       654 B  [.........]       linux/amd64  sha256:5e36d65185c8   |
            |          0 B       642 B  [.........]       linux/amd64  sha256:9a6deb95a5ab   |
            |+- Deletion -------------------------------------------------------------------+|
            || Some of the marked entries cannot be deleted, so nothing is deleted:         ||
            || team/tools@sha256:5e36d65185c846b27353c3eb057b125f892c7aa8ad40059e8a49ecfa75 ||
            || 1a8397: it is part of the index                                              ||
            || sha256:7f421f6f2174176d74d08a05117bcf11fe8e85fec57b6bdde5659c0227c5ff8a,     ||
            || which is kept                                                                ||
            |+------------------------------------------------------------------------------+|
            |                                                                                |
            |                                                                                |
            | this cannot be deleted by itself: it is part of the index sha256:7f421f6f2174..|
            | 1 marked: 1 cannot be deleted; the rest frees 0 B in 0 blobs                   |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys("y");
        assert!(window.state.dialog.is_none() && root.path().join(layout::tag_link("team/tools", "all")).exists());
    });
}

#[test]
fn a_word_is_typed_where_no_repository_would_be_left() {
    let root = registry().on_disk();
    browse(root.path(), shown(), |window| {
        window.keys("  d");
        window.size = (80, 16);
        window.shows(expect![[r#"
            | regc browse  /srv/registry                                             by size |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |+- Deletion ------------------------------------------------------------------+ |
            || This removes 5.09 KiB in 25 blobs, 3 repositories, 4 tags, 8 manifests, 18  | |
            || layer links, 4 tag index entries.                                           | |
            ||                                                                             | |
            || Move this, 5.09 KiB in 25 blobs, to the trash of /srv/registry? All 3       | |
            || repositories are deleted. Type `everything` and Enter to continue:          | |
            || >                                                                           | |
            ||                                                                             | |
            || other, the whole repository                                                 | |
            || team/app, the whole repository                                              | |
            || team/tools, the whole repository                                            | |
            |+-----------------------------------------------------------------------------+ |
            | 3 marked: deleting all frees 5.09 KiB (5210 bytes) in 25 blobs                 |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys("y>");
        assert!(window.state.dialog.is_none() && root.path().join(layout::tag_link("other", "v1")).exists());
        window.keys("deverything>");
        assert!(!root.path().join(layout::tag_link("other", "v1")).exists());
    });
}

#[test]
fn deletions_at_once_say_so() {
    let root = registry().on_disk();
    browse(root.path(), Shown { deletes: true, ..shown() }, |window| {
        window.size = (80, 16);
        window.keys("n>d");
        window.shows(expect![[r#"
            | regc browse  /srv/registry  other                     by name, deletes at once |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |        454 B        11 B  [#########]   0m  v1                                 |
            |                                                                                |
            |+- Deletion -------------------------------------------------------------------+|
            || This removes 454 B in 2 blobs, 1 tag, 1 manifest, 2 layer links, 1 tag index ||
            || entry.                                                                       ||
            ||                                                                              ||
            || Remove this, 454 B in 2 blobs, from /srv/registry? [y/N]                     ||
            ||                                                                              ||
            || other:v1                                                                     ||
            |+------------------------------------------------------------------------------+|
            |                                                                                |
            | deleting this frees 454 B in 2 blobs                                           |
            | nothing is marked                                                              |
            | ? help  Enter in  Left back  Space mark  d delete  / filter  s order  q quit   |
        "#]]);
        window.keys("y");
        let Some(Dialog::Done { removed, .. }) = &window.state.dialog else { panic!("{:?}", window.state.dialog) };
        assert!(removed.undo.is_none() && removed.summary.starts_with("Deleted: "), "{removed:?}");
        assert!(!root.path().join(".regc/trash").exists());
    });
}

#[test]
fn a_store_that_somebody_else_has_locked_is_not_changed() {
    let root = registry().on_disk();
    let store = Store::open(&regc_core::Config::at_root(root.path())).unwrap();
    let session = store.lock(&Holder::new("somebody")).unwrap();
    browse(root.path(), shown(), |window| {
        window.keys(" d");
        let Some(Dialog::Refused { causes, .. }) = &window.state.dialog else { panic!("{:?}", window.state.dialog) };
        assert!(causes[0].contains("lock"), "{causes:?}");
        window.keys("x");
        assert_eq!(window.state.marks.len(), 2, "the marks stay");
    });
    drop(session);
}

#[test]
fn a_window_that_is_read_only_changes_nothing() {
    let root = registry().on_disk();
    browse(root.path(), Shown { read_only: true, ..shown() }, |window| {
        window.keys(" d");
        window.size = (80, 8);
        window.shows(expect![[r#"
            | regc browse  /srv/registry                                  by size, read-only |
            |    EXCLUSIVE      SHARED               AGE  NAME                               |
            |     4.18 KiB        11 B  [#########]   0m  team/                              |
            |        454 B        11 B  [#        ]   0m  other                              |
            |                                                                                |
            | --read-only: nothing can be marked or deleted                                  |
            |                                                                                |
            | ? help  Enter in  Left back  / filter  s order  q quit                         |
        "#]]);
        assert!(window.state.marks.is_empty() && window.state.dialog.is_none());
    });
}

#[test]
fn the_cursor_stays_in_the_window_and_on_what_it_is_on() {
    let mut registry = TestRegistry::new();
    for number in 0..100 {
        registry.image(&format!("r{number:02}:v1")).layers([format!("{number}")]).push();
    }
    let root = registry.on_disk();
    browse(root.path(), shown(), |window| {
        window.keys("n");
        window.press(KeyCode::Home);
        for (code, expected) in [
            (KeyCode::PageDown, "r19"),
            (KeyCode::Down, "r20"),
            (KeyCode::End, "r99"),
            (KeyCode::Down, "r99"),
            (KeyCode::PageUp, "r80"),
            (KeyCode::Char('n'), "r80"),
            (KeyCode::Home, "r99"),
            (KeyCode::Up, "r99"),
        ] {
            window.press(code);
            assert_eq!(window.state.level().at_cursor().unwrap().name, expected, "{code:?}");
            for size in [(80, 24), (80, 9), (120, 50)] {
                assert!(screen(&mut window.state, size).contains(&format!(" {expected} ")), "{code:?} {size:?}");
            }
        }
    });
}

#[test]
fn names_that_deceive_do_not_break_the_lines() {
    let mut state = State::new(shown(), SystemTime::now());
    let names = [
        "a\u{1b}[2Jb\r\n".to_owned(),
        "right\u{202e}tfel".to_owned(),
        "zero\u{200b}width\u{301}".to_owned(),
        "漢字".repeat(30),
        "long".repeat(75),
        "👩‍👩‍👧".to_owned(),
    ];
    let named = names.iter().map(|name| Named { repository: name.clone(), tags: Vec::new() }).collect();
    drop(state.receive(Message::Names(named)));
    for size in [(80, 24), (40, 12)] {
        let text = screen(&mut state, size);
        let is_plain = |c: char| c == '\n' || !c.is_control() && !matches!(c, '\u{200b}'..='\u{202e}');
        assert!(text.chars().all(is_plain), "{text:?}");
        let width = usize::from(size.0) + 2;
        assert!(text.lines().all(|line| console::measure_text_width(line) == width), "{text}");
        assert_eq!(text.matches("\\u{202e}").count(), 1, "{text}");
    }
    expect![[r#"
        | regc browse  /srv/registry                         by size |
        |    EXCLUSIVE  NAME                                         |
        |               a\u{1b}[2Jb\r\n  no tags                     |
        |               longlonglonglonglonglonglonglonglonglonglon..|
        |               right\u{202e}tfel  no tags                   |
        |               zero\u{200b}width́  no tags                   |
        |               漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢.. |
        |               👩\u{200d}👩\u{200d}👧  no tags              |
        |                                                            |
        | listing repositories, 3                                    |
        | nothing is marked                                          |
        | ? help  Space mark  d delete  q quit                       |
    "#]]
    .assert_eq(&screen(&mut state, (60, 12)));
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let root = registry().on_disk();
    browse(root.path(), shown(), |window| {
        window.keys(" ");
        for has_colours in [true, false] {
            let buffer = drawn(&mut window.state, (80, 24), Look { has_colours });
            let has = buffer.content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
            assert_eq!(has, has_colours);
        }
    });
}

#[test]
fn what_is_gone_is_no_longer_marked_or_shown() {
    let root = registry().on_disk();
    browse(root.path(), shown(), |window| {
        window.keys(" ");
        window.keys("n");
        window.press(KeyCode::Home);
        window.keys("> ");
        let left = vec![Named { repository: "third".to_owned(), tags: Vec::new() }];
        drop(window.state.receive(Message::Names(left)));
        assert!(window.state.marks.is_empty() && window.state.levels.len() == 1);
    });
}
