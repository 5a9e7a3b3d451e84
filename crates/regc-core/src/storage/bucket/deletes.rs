//! Deletions, gathered from all threads into few requests.
//!
//! A request may delete a thousand objects, and a thread has a few at a time. So what threads delete at the same moment
//! is sent together. Few requests are under way at once, fewer where the server says that it is busy: a server that is
//! asked to delete too fast makes no progress at all.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Bucket, Deleted, FailedDelete};
use crate::error::Error;
use crate::sync::{Condvar, Mutex};

/// How many requests are under way at first, and at most.
const FIRST_LIMIT: usize = 2;
const LIMIT: usize = 8;

/// How often an object is tried.
const ATTEMPTS: u32 = 10;

/// How long a request waits for more to be deleted.
const GATHERING: Duration = Duration::from_millis(15);

/// The first pause while the server is busy, which doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Deletes {
    bucket: Arc<dyn Bucket>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queue: VecDeque<Pending>,
    calls: HashMap<u64, Call>,
    next_call: u64,
    in_flight: usize,
    limit: usize,
    pause: Duration,
    /// Whether the server deletes one object at a time only.
    one_by_one: bool,
}

/// An object that is to be deleted.
struct Pending {
    call: u64,
    /// Its position in the call.
    number: usize,
    key: String,
    attempt: u32,
}

/// A call of [`Deletes::run`].
struct Call {
    left: usize,
    results: Vec<Option<Result<(), Error>>>,
}

impl State {
    fn done(&mut self, pending: &Pending, result: Result<(), Error>) {
        if let Some(call) = self.calls.get_mut(&pending.call) {
            call.results[pending.number] = Some(result);
            call.left -= 1;
        }
    }

    /// Tries an object again later, unless it was tried often enough.
    fn again(&mut self, mut pending: Pending, reason: &str) {
        pending.attempt += 1;
        match pending.attempt < ATTEMPTS {
            true => self.queue.push_back(pending),
            false => self.done(&pending, Err(failed(&pending.key, reason))),
        }
    }
}

fn failed(key: &str, reason: &str) -> Error {
    Error::storage("remove", key, io::Error::other(reason.to_owned()))
}

impl Deletes {
    pub(super) fn new(bucket: Arc<dyn Bucket>) -> Self {
        let state = State {
            queue: VecDeque::new(),
            calls: HashMap::new(),
            next_call: 0,
            in_flight: 0,
            limit: FIRST_LIMIT,
            pause: FIRST_PAUSE,
            one_by_one: false,
        };
        Self { bucket, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Deletes objects, and returns a result for each of them.
    pub(super) fn run(&self, keys: Vec<String>) -> Vec<Result<(), Error>> {
        if keys.is_empty() {
            return Vec::new();
        }
        let mut state = self.state.lock();
        let call = state.next_call;
        state.next_call += 1;
        state.calls.insert(call, Call { left: keys.len(), results: keys.iter().map(|_| None).collect() });
        let pending = keys.into_iter().enumerate().map(|(number, key)| Pending { call, number, key, attempt: 0 });
        state.queue.extend(pending);
        loop {
            state = self.changed.wait_while(state, |state| {
                let is_busy = state.queue.is_empty() || state.in_flight >= state.limit;
                is_busy && state.calls.get(&call).is_some_and(|call| call.left > 0)
            });
            if state.calls.get(&call).is_none_or(|call| call.left == 0) {
                let results = state.calls.remove(&call).map_or_else(Vec::new, |call| call.results);
                return results.into_iter().flatten().collect();
            }
            state.in_flight += 1;
            if state.queue.len() < self.bucket.deleted_at_once() {
                drop(state);
                std::thread::sleep(GATHERING);
                state = self.state.lock();
            }
            let number = state.queue.len().min(self.bucket.deleted_at_once());
            let batch: Vec<Pending> = state.queue.drain(..number).collect();
            let one_by_one = state.one_by_one;
            drop(state);
            let answer = if batch.is_empty() { Ok(None) } else { self.send(&batch, one_by_one).map(Some) };
            let pause = self.take(batch, answer);
            if let Some(pause) = pause {
                // Calls of which everything is done need not wait.
                self.changed.notify_all();
                std::thread::sleep(pause.min(LONGEST_PAUSE));
            }
            state = self.state.lock();
            state.in_flight -= 1;
            self.changed.notify_all();
        }
    }

    fn send(&self, batch: &[Pending], one_by_one: bool) -> Result<Deleted, Error> {
        if !one_by_one {
            return self.bucket.delete_several(&batch.iter().map(|pending| &*pending.key).collect::<Vec<_>>());
        }
        let failed = batch.iter().filter_map(|Pending { key, .. }| {
            let error = self.bucket.delete(key).err()?;
            Some(FailedDelete { key: key.clone(), is_busy: false, reason: cause(&error) })
        });
        Ok(Deleted::AllBut(failed.collect()))
    }

    /// Records the answer to a request, and returns for how long nothing is to be sent.
    fn take(&self, batch: Vec<Pending>, answer: Result<Option<Deleted>, Error>) -> Option<Duration> {
        let mut state = self.state.lock();
        match answer {
            Ok(None) => None,
            Err(error) => {
                let reason = cause(&error);
                batch.iter().for_each(|pending| state.done(pending, Err(failed(&pending.key, &reason))));
                None
            }
            Ok(Some(Deleted::Unsupported)) => {
                state.one_by_one = true;
                batch.into_iter().rev().for_each(|pending| state.queue.push_front(pending));
                None
            }
            Ok(Some(Deleted::Busy { pause: asked, reason })) => {
                batch.into_iter().for_each(|pending| state.again(pending, &reason));
                let pause = self.slow_down(&mut state);
                Some(asked.map_or(pause, |asked| asked.max(pause)))
            }
            Ok(Some(Deleted::AllBut(failures))) => {
                let mut is_busy = false;
                let failures: HashMap<String, FailedDelete> =
                    failures.into_iter().map(|failure| (failure.key.clone(), failure)).collect();
                // What failed under another name may be any of them.
                let keys: HashSet<&str> = batch.iter().map(|pending| &*pending.key).collect();
                let unknown = failures.values().find(|failure| !keys.contains(&*failure.key));
                let unknown = unknown.map(|failure| failure.reason.clone());
                for pending in batch {
                    match (failures.get(&pending.key), &unknown) {
                        (None, None) => state.done(&pending, Ok(())),
                        (None, Some(reason)) => {
                            let error = failed(&pending.key, reason);
                            state.done(&pending, Err(error));
                        }
                        (Some(failure), _) if failure.is_busy => {
                            is_busy = true;
                            state.again(pending, &failure.reason);
                        }
                        (Some(failure), _) => {
                            let error = failed(&pending.key, &failure.reason);
                            state.done(&pending, Err(error));
                        }
                    }
                }
                if is_busy {
                    return Some(self.slow_down(&mut state));
                }
                state.limit = (state.limit + 1).min(LIMIT);
                state.pause = FIRST_PAUSE;
                None
            }
        }
    }

    /// Sends less at the same time, and returns how long to pause.
    fn slow_down(&self, state: &mut State) -> Duration {
        state.limit = (state.limit / 2).max(1);
        let pause = state.pause;
        state.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

/// Returns why a request failed.
fn cause(error: &Error) -> String {
    match error {
        Error::Storage { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}
