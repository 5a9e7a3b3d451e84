//! The terminal while the window is open: raw, on its other screen, and as it was before when the window is closed, whatever
//! closes it.

use std::io::{self, Stdout};
use std::panic;
use std::sync::Once;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// The terminal, which is given back when this is dropped.
pub struct Screen {
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal. A panic, in any thread, gives it back before it is reported.
    pub fn open() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let report = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                give_back();
                report(panic);
            }));
        });
        enable_raw_mode()?;
        let opened = execute!(io::stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match opened {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    disable_raw_mode().ok();
    execute!(io::stdout(), LeaveAlternateScreen, Show).ok();
}

#[cfg(test)]
mod tests {
    use std::{env, fs, thread};

    use regc_testkit::tmux::{Tmux, with_settings};

    use super::*;

    /// Run by the test below, in a terminal.
    #[test]
    #[ignore = "it panics, and needs a terminal"]
    fn window_that_panics() {
        let mut screen = Screen::open().unwrap();
        screen.terminal.clear().unwrap();
        // In another thread, so that the window is not closed by the way.
        thread::spawn(|| panic!("this is what went wrong")).join().unwrap_err();
        std::mem::forget(screen);
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let notes = tempfile::tempdir().unwrap();
        let program = env::current_exe().unwrap();
        let name = "browse::terminal::tests::window_that_panics";
        let command = format!("{} --ignored --exact --nocapture {name}", program.display());
        let terminal = Tmux::start(80, 24, &with_settings(notes.path(), &command));
        let screen = terminal.wait_for(&["it has ended"]);
        let read = |name: &str| fs::read_to_string(notes.path().join(name)).unwrap();
        assert!(screen.contains("this is what went wrong") && screen.contains("1 passed"), "{screen}");
        assert_eq!(read("before"), read("after"), "the settings are what they were");
        assert!(!terminal.is_on_other_screen() && terminal.has_cursor(), "{screen}");
    }
}
