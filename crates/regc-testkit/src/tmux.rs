//! A terminal whose screen can be read: tmux, on a socket of its own.

use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A terminal in which a command runs. It is ended when this is dropped.
pub struct Tmux {
    /// Where its socket is.
    directory: TempDir,
}

/// How long a screen is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

impl Tmux {
    /// Starts a shell's command in a terminal of this size. When it has ended, the screen stays.
    ///
    /// # Panics
    ///
    /// If tmux is not installed.
    pub fn start(columns: u16, rows: u16, command: &str) -> Self {
        let terminal = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let stays = format!("{command}\nexec sleep 600");
        let started = ["new-session", "-d", "-x", &columns, "-y", &rows, "sh", "-c", &stays];
        let output = terminal.tmux(&started);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let socket = self.directory.path().join("socket");
        let output =
            Command::new("tmux").arg("-S").arg(socket).args(["-f", "/dev/null", "-u"]).args(arguments).output();
        output.expect("tmux is not installed: this test needs it (apt-get install tmux)")
    }

    fn asked(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.tmux(arguments).stdout).into_owned()
    }

    /// Presses keys, by their names: `Enter`, `Space`, `C-c`, `x`.
    pub fn press(&self, keys: &[&str]) {
        assert!(self.tmux(&[&["send-keys"], keys].concat()).status.success());
    }

    /// What the screen shows.
    pub fn screen(&self) -> String {
        self.asked(&["capture-pane", "-p", "-J"])
    }

    /// What the screen shows, with the sequences that colour it.
    pub fn coloured_screen(&self) -> String {
        self.asked(&["capture-pane", "-p", "-e"])
    }

    /// Waits until the screen shows all of these, and returns it.
    ///
    /// # Panics
    ///
    /// If it never does.
    pub fn wait_for(&self, texts: &[&str]) -> String {
        self.wait_until(&format!("{texts:?}"), |screen| texts.iter().all(|text| screen.contains(text)))
    }

    /// Waits until the screen is as wanted, and returns it.
    ///
    /// # Panics
    ///
    /// If it never is.
    pub fn wait_until(&self, wanted: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if is_wanted(&screen) {
                return screen;
            }
            assert!(began.elapsed() < PATIENCE, "the screen does not show {wanted}:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        assert!(self.tmux(&["resize-window", "-x", &columns, "-y", &rows]).status.success());
    }

    /// Whether the terminal shows its other screen, as editors use it.
    pub fn is_on_other_screen(&self) -> bool {
        self.asked(&["display-message", "-p", "#{alternate_on}"]).trim() == "1"
    }

    /// Whether the cursor is shown.
    pub fn has_cursor(&self) -> bool {
        self.asked(&["display-message", "-p", "#{cursor_flag}"]).trim() == "1"
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// Returns a shell's commands that run another one and write into `directory` what the terminal's settings were before, what they
/// are after, and how it has ended.
pub fn with_settings(directory: &Path, command: &str) -> String {
    let directory = directory.display();
    format!(
        "stty -a > {directory}/before\n{command}\necho $? > {directory}/code\nstty -a > {directory}/after\n\
         echo it has ended"
    )
}
