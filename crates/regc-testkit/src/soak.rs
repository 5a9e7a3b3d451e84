//! Random stores, random sequences of commands, and what must hold after each of them.
//!
//! A round makes a store from its seed, and runs the real binary on it: some commands are killed, some are undone
//! from the trash, and sometimes a backup is restored. Kills depend on time, so a round with kills may end
//! differently when repeated; all other rounds are deterministic.

pub mod check;
pub mod command;
pub mod process;
pub mod round;
pub mod store;
