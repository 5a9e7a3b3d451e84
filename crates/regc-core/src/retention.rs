//! Which tags of a repository stay, and which go: the rules of `regc prune`.
//!
//! Nothing is read or removed here, and the time is handed in: [`decide`] says of each tag what becomes of it, and why.
//!
//! The hazard is in what a tag is. An image has often several, and to count tags, or to remove one that is old beside one
//! that is not, takes images from people who pull them by another name. So images are counted, an image stays if any of
//! its tags does, and what cannot be judged (a garbled link, a date that is none, a tag that is no version) stays.
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

mod decide;
mod order;
mod policy;
mod reason;
mod rule;
#[cfg(test)]
mod tests;
mod yaml;

pub use decide::decide;
pub use order::Order;
pub use policy::{Policy, PolicyRule};
pub use reason::Reason;
pub use rule::{Keep, PartialRule, Rule, TagRegex};

/// What is known of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFacts {
    /// Its name.
    pub tag: String,
    /// What it names; `None` if its link is garbled.
    pub digest: Option<Digest>,
    /// When it was pushed last.
    pub pushed: SystemTime,
    /// When the image was made, as its configuration says: RFC 3339.
    pub created: Option<String>,
    /// The manifest that what it names is attached to.
    pub subject: Option<Digest>,
    /// What it is directly part of or attached to. Only what other tags name counts, and what belongs to that.
    pub owners: Vec<Digest>,
    /// Whether the manifest is there, linked and understood, so that the image can be pulled.
    pub is_understood: bool,
    /// If it belongs by its name to a manifest that was deleted from its repository: when the youngest was pushed of what would
    /// be deleted with it.
    pub orphaned_since: Option<SystemTime>,
}

/// What becomes of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reason: Reason,
}
