//! The terminal while the window is open: raw, on its other screen, and as it was before when the window is closed, whatever
//! closes it.

use std::io::{self, Stdout};
use std::mem::ManuallyDrop;
use std::panic;
use std::sync::Once;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// The terminal, which is given back when this is dropped.
pub struct Screen {
    /// It is not dropped itself: where the terminal has gone, that would print an error, and panic since it cannot.
    pub terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
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
            Ok(terminal) => Ok(Self { terminal: ManuallyDrop::new(terminal) }),
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
    use std::process::{Command, Stdio};
    use std::{env, fs, thread};

    use super::*;

    /// Run by the test below, in a terminal.
    #[test]
    #[ignore = "it panics, and needs a terminal"]
    fn window_that_panics() {
        let screen = Screen::open().unwrap();
        // In another thread, so that the window is not closed by the way.
        thread::spawn(|| panic!("this is what went wrong")).join().unwrap_err();
        std::mem::forget(screen);
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let notes = tempfile::tempdir().unwrap();
        let (program, notes_at) = (env::current_exe().unwrap(), notes.path().display());
        let name = "browse::terminal::tests::window_that_panics";
        let command = format!(
            "stty -a > {notes_at}/before; {} --ignored --exact --nocapture {name}; stty -a > {notes_at}/after",
            program.display()
        );
        let terminal = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .expect("script, of the package bsdutils, is installed");
        let screen = String::from_utf8_lossy(&terminal.stdout);
        let read = |name: &str| fs::read_to_string(notes.path().join(name)).unwrap();
        assert!(screen.contains("1 passed"), "{screen:?}");
        assert_eq!(read("before"), read("after"), "the settings are what they were");
        let (other_screen, first_screen, cursor) = ("\u{1b}[?1049h", "\u{1b}[?1049l", "\u{1b}[?25h");
        let report = screen.find("this is what went wrong").unwrap();
        let given_back = screen.rfind(first_screen).unwrap();
        assert!(screen.find(other_screen).unwrap() < given_back && given_back < report, "{screen:?}");
        assert!(screen[given_back..].contains(cursor), "{screen:?}");
    }
}
