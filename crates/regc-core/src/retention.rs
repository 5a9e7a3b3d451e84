//! The rules of `regc prune`: which tags of a repository are kept, and which are deleted.
//!
//! Nothing is read or deleted here, and the current time is an argument: [`decide`] returns whether each tag is kept,
//! and why.
//!
//! An image often has several tags. Counting tags, or deleting an old tag beside a recent one, would delete images that
//! clients pull by another name. So images are counted, an image is kept if any of its tags is, and a tag to which the
//! rule cannot be applied (a garbled link, an invalid date, a tag that is not a version) is kept.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::time::{Duration, SystemTime};
//!
//! use regc_core::{Algorithm, Digest};
//! use regc_core::retention::{Keep, PartialRule, TagFacts, decide};
//!
//! # fn main() -> Result<(), regc_core::Error> {
//! let rule = PartialRule { keep: Some(Keep::Newest(1)), ..PartialRule::default() }.finish()?;
//! let now = SystemTime::now();
//! let tag = |tag: &str, image: &str, days: u64| TagFacts {
//!     tag: tag.to_owned(),
//!     digest: Some(Digest::of(Algorithm::Sha256, image.as_bytes())),
//!     pushed: now - Duration::from_secs(days * 86_400),
//!     created: None,
//!     subject: None,
//!     owners: Vec::new(),
//!     is_understood: true,
//!     orphaned_since: None,
//! };
//! let tags = [tag("v1", "old", 30), tag("v2", "new", 20), tag("latest", "new", 10)];
//! let kept: Vec<bool> = decide(&rule, &tags, &BTreeMap::new(), now).iter().map(|decision| decision.keep).collect();
//! assert_eq!(kept, [false, true, true]);
//! # Ok(())
//! # }
//! ```

use std::time::SystemTime;

use crate::digest::Digest;

mod calendar;
mod decide;
mod order;
mod policy;
mod policy_error;
mod reason;
mod rule;
mod sentence;
#[cfg(test)]
mod tests;
mod yaml;

pub use calendar::{Calendar, NewestOf, Period};
pub use decide::decide;
pub use order::Order;
pub use policy::{Policy, PolicyRule};
pub use policy_error::PolicyError;
pub use reason::Reason;
pub use rule::{Keep, PartialRule, Rule, TagRegex};

/// What is known about a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFacts {
    /// Its name.
    pub tag: String,
    /// The manifest that it names; `None` if its link is garbled.
    pub digest: Option<Digest>,
    /// When it was last pushed.
    pub pushed: SystemTime,
    /// When the image was created, according to its config: RFC 3339.
    pub created: Option<String>,
    /// The manifest that the image is attached to.
    pub subject: Option<Digest>,
    /// What it is directly part of or attached to. Only what other tags name counts, and what belongs to that.
    pub owners: Vec<Digest>,
    /// Whether the manifest is present, linked and understood, so that the image can be pulled.
    pub is_understood: bool,
    /// If its name belongs to a manifest that was deleted from its repository: when the latest of what would be deleted
    /// with it was pushed.
    pub orphaned_since: Option<SystemTime>,
}

/// The decision about a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is kept.
    pub keep: bool,
    /// Why.
    pub reason: Reason,
}
