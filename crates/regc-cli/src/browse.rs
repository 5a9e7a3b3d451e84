//! `regc browse`: a window in the terminal.
//!
//! [`state`] is what is shown and what keys change, without a terminal and without a store; [`view`] draws it. [`worker`] reads the
//! store in threads of its own, so that a key is answered at once whatever is being read.

mod message;
mod state;
mod terminal;
mod view;
mod worker;

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, SystemTime};

use ratatui::crossterm::event::{self, Event};
use regc_core::Error;

pub use self::message::Removed;
use self::message::{Message, Request};
pub use self::state::Terms as Shown;
use self::state::{Reaction, State};
use self::terminal::Screen;
use self::view::Look;
pub use self::worker::Terms;
use self::worker::{Progress, Stop, Worker};
use crate::commands::store::Opened;
use crate::interruption::Interruption;
use crate::process;

/// How often the window looks for what the threads have found out, and for signals.
const TICK: Duration = Duration::from_millis(50);

/// How a window was closed.
pub struct Closed {
    /// What was removed.
    pub removed: Vec<Removed>,
    /// Why the store could not be read: an error, and what caused it.
    pub failed: Option<Vec<String>>,
    pub is_interrupted: bool,
}

/// Shows a store until the window is closed.
pub fn browse(opened: &Opened, shown: Shown, terms: Terms, has_colours: bool) -> Result<Closed, Error> {
    let interruption = process::watch()?;
    let fail = |source| Error::Storage { action: "watch", path: "signals".to_owned(), source };
    interruption.watch_terminal().map_err(fail)?;
    let (progress, stop) = (Progress::default(), Stop::default());
    let (messages, received) = mpsc::channel();
    let (requests, requested) = mpsc::channel();
    let (images, of_images) = mpsc::channel();
    let worker = Worker::new(opened, terms, &progress, &stop, messages);
    let mut state = State::new(shown, SystemTime::now());
    thread::scope(|scope| {
        let worker = &worker;
        let threads =
            [scope.spawn(move || worker.answer(&requested)), scope.spawn(move || worker.list_images(&of_images))];
        // In this order: the threads end when the window is closed, and the scope waits for them.
        let ends = Ends { stop: &stop };
        // One that has panicked leaves a window that shows nothing new.
        let is_alive = || !threads.iter().any(|thread| thread.is_finished());
        let window = Window {
            events: events(),
            requests,
            images,
            received: &received,
            progress: &progress,
            stop: &stop,
            interruption,
            is_alive: &is_alive,
        };
        let look = Look { has_colours };
        let ended = window.run(&mut state, look);
        drop(window);
        drop(ends);
        // Nothing can be drawn in a terminal that has gone.
        ended.or_else(|error| if Interruption::exit_code() > 0 { Ok(()) } else { Err(error) })
    })
    .map_err(|source| Error::Storage { action: "use", path: "terminal".to_owned(), source })?;
    // What was being deleted when the window was closed.
    let rest: Vec<Message> = received.try_iter().collect();
    for message in rest {
        if matches!(message, Message::Removed(_)) {
            drop(state.receive(message));
        }
    }
    let is_interrupted = Interruption::exit_code() > 0;
    Ok(Closed { removed: state.removed, failed: state.failed, is_interrupted })
}

/// Ends the threads, also if the window panics.
struct Ends<'a> {
    stop: &'a Stop,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.stop.all.store(true, Relaxed);
    }
}

/// Reads keys in a thread of its own, which is not waited for: once the terminal has gone, reading never ends.
fn events() -> Receiver<io::Result<Event>> {
    let (sender, events) = mpsc::channel();
    thread::spawn(move || while sender.send(event::read()).is_ok() {});
    events
}

struct Window<'a> {
    events: Receiver<io::Result<Event>>,
    requests: Sender<Request>,
    images: Sender<String>,
    received: &'a Receiver<Message>,
    progress: &'a Progress,
    stop: &'a Stop,
    interruption: Interruption,
    /// Whether all threads run.
    is_alive: &'a dyn Fn() -> bool,
}

impl Window<'_> {
    fn run(&self, state: &mut State, look: Look) -> io::Result<()> {
        let mut screen = Screen::open()?;
        let mut drawn = None;
        loop {
            let doing = self.progress.text();
            if drawn.as_ref() != Some(&doing) {
                state.now = SystemTime::now();
                screen.terminal.draw(|frame| {
                    state.resize(view::page(frame.area().height));
                    view::draw(frame, state, &doing, look);
                })?;
                drawn = Some(doing);
            }
            let mut reaction = Reaction::default();
            let mut next = self.events.recv_timeout(TICK).ok();
            if next.is_none() {
                reaction = state.tick();
            }
            while let Some(event) = next {
                drawn = None;
                if let Event::Key(key) = event?
                    && self.react(state.key(key))
                {
                    return Ok(());
                }
                next = self.events.try_recv().ok();
            }
            if self.react(reaction) {
                return Ok(());
            }
            let is_alive = (self.is_alive)();
            while let Ok(message) = self.received.try_recv() {
                let reaction = state.receive(message);
                self.react(reaction);
                drawn = None;
            }
            if self.interruption.is_there() || state.failed.is_some() || !is_alive {
                return Ok(());
            }
        }
    }

    /// Passes on what is requested; returns whether the window is closed.
    fn react(&self, reaction: Reaction) -> bool {
        let Reaction { requests, quits, cancels } = reaction;
        for request in requests {
            match request {
                Request::Images(repository) => drop(self.images.send(repository)),
                request => drop(self.requests.send(request)),
            }
        }
        if cancels {
            self.stop.removal.store(true, Relaxed);
        }
        quits
    }
}

#[cfg(test)]
mod tests;
