//! The threads that read the store, and change it.
//!
//! One thread reads the whole store, and then answers how much deletions free, and carries them out. Another one lists the images of
//! repositories meanwhile. Nothing lists images while something is planned or deleted: with a bucket, that lists it anew.

mod progress;
mod read;
mod removal;

use std::sync::RwLock;
use std::sync::mpsc::{Receiver, Sender};

use regc_core::Error;
use regc_core::inspect::catalog::ListOptions;

pub use self::progress::{Progress, Stop};
pub use self::removal::Terms;
use super::message::{Message, Request};
use crate::commands::store::Opened;
use crate::output;

/// The threads' common ground.
pub struct Worker<'a> {
    pub opened: &'a Opened,
    pub terms: Terms,
    pub progress: &'a Progress,
    pub stop: &'a Stop,
    messages: Sender<Message>,
    /// Taken to read by who lists images, and to write by who plans and deletes.
    access: RwLock<()>,
}

impl<'a> Worker<'a> {
    pub fn new(
        opened: &'a Opened,
        terms: Terms,
        progress: &'a Progress,
        stop: &'a Stop,
        messages: Sender<Message>,
    ) -> Self {
        Self { opened, terms, progress, stop, messages, access: RwLock::new(()) }
    }

    /// Reads the store, and answers requests, until the window is closed.
    pub fn answer(&self, requests: &Receiver<Request>) {
        let ended = loop {
            match self.read_and_answer(requests) {
                Ok(true) => {}
                Ok(false) | Err(Error::Interrupted) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = ended {
            self.send(Message::Failed(told(&error)));
        }
    }

    /// Lists the images of repositories, until the window is closed.
    pub fn list_images(&self, requests: &Receiver<String>) {
        for wanted in requests {
            let _reading = self.access.read();
            let depth = ListOptions::new().images(true).trees(true).layers(true).untagged(true).problems(true);
            let listed = self.opened.store.list(|name| name == wanted, depth, self.stop);
            match listed {
                Ok(mut listed) => self.send(Message::Images(wanted, listed.pop().map(Box::new))),
                Err(Error::Interrupted) => break,
                Err(error) => {
                    self.send(Message::Images(wanted, None));
                    self.send(Message::Refused(told(&error)));
                }
            }
        }
    }

    /// Sends a message to the window. A window that is closed needs none.
    fn send(&self, message: Message) {
        self.messages.send(message).ok();
    }
}

/// An error, and what caused it.
fn told(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::once(error.to_string()).chain(output::causes(error).map(ToString::to_string)).collect()
}
