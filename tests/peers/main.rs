//! regc beside the real programs: Debian's docker-registry 2.8.2, skopeo, redis-server, and in a terminal that tmux is.
//!
//!     apt-get install docker-registry skopeo redis-server openssl tmux
//!     pip install prometheus_client
//!     PROMETHEUS_PYTHON=python3 cargo test -p regc-cli --test peers

#[path = "../common/mod.rs"]
mod common;

mod browse;
mod collector;
mod damage;
mod lifecycle;
mod listing;
mod metrics;
mod missing;
mod removal;
mod repair;
mod safety;
mod stale_cache;
mod tenants;
mod undelete;
mod usage;
mod verify;
