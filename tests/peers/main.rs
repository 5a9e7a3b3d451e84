//! regc beside the real programs: Debian's docker-registry 2.8.2 and skopeo.
//!
//!     apt-get install docker-registry skopeo
//!     cargo test -p regc-cli --test peers

#[path = "../common/mod.rs"]
mod common;

mod collector;
mod damage;
mod lifecycle;
mod listing;
mod missing;
mod removal;
mod repair;
mod safety;
mod tenants;
mod undelete;
mod usage;
mod verify;
